// Boost.JSON, compiled here once: the package has it as headers.
#include <boost/json/src.hpp>
