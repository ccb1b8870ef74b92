// The five levels of the log, php-fpm's.
#pragma once

namespace fpm::log {

/// In rising order of severity, so that `level >= configured` decides.
enum class Level { debug, notice, warning, error, alert };

}  // namespace fpm::log
