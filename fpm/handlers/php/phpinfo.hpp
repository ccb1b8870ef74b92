#pragma once

#include <string>
#include <string_view>

namespace fpm::handlers::php {

/// What phpinfo() says of the place of php.ini. The library names the folder that is built into it,
/// which is not where it looks: `folder` is shown instead, also where scripts call phpinfo().
/// @param built_in what the library names. To be called once, when PHP's functions are there.
void show_settings_folder(std::string_view built_in, std::string_view folder);

/// Puts that right in the text or page of a phpinfo().
void correct_info(std::string& info);

}  // namespace fpm::handlers::php
