#include "fpm/log/lost_request.hpp"

#include <array>
#include <catch2/catch.hpp>

#include "log_rig.hpp"

using namespace fpm;
using namespace std::chrono_literals;

namespace {

log::LostRequest example() {
  return {.pool = "www",
          .remote = "127.0.0.1",
          .method = "POST",
          .uri = "/a.php",
          .query = "x=1",
          .script = "/srv/a.php",
          .user = "joe",
          .request_id = "r-1",
          .content_length = 12,
          .bytes_sent = 34,
          .status = 0,
          .pid = 7,
          .master_pid = 6,
          .duration = 2'500'000us};
}

std::string line_of(std::string_view format, const log::LostRequest& request) {
  std::array<char, 8192> buffer;
  const auto line =
      log::render_lost(log::compile_access_format(format).format, request,
                       std::chrono::system_clock::time_point(1'000'000'010s), buffer);
  return {buffer.data(), line.size};
}

}  // namespace

TEST_CASE("a lost request has the usual line, with - for what nobody knows") {
  CHECK(line_of("%R - %u \"%m %r%Q%q\" %s %d %l %f %n %p %P %{REQUEST_ID}e %{HTTP_HOST}e %{X}o %C",
                example()) ==
        "127.0.0.1 - joe \"POST /a.php?x=1\" - 2.500 12 /srv/a.php www 7 6 r-1 - - 0.00\n");
}

TEST_CASE("%t of a lost request is when it began, %T is now") {
  CHECK(line_of("%{%s}t %{%s}T", example()) == "1000000007 1000000010\n");
}

TEST_CASE("a lost request shows the answer that was sent for it") {
  auto request = example();
  request.status = 504;
  request.end = log::RequestEnd::timeout;
  CHECK(line_of("%s", request) == "504\n");
  const std::string line = line_of("json", request);
  CHECK(line.find(R"("status":504,"bytes":34,"duration":2.500000)") != std::string::npos);
  CHECK(line.find(R"("end":"timeout"})") != std::string::npos);
}

TEST_CASE("in json a lost request says that its worker died") {
  auto request = example();
  request.remote = "-";  // a UNIX socket
  const std::string line = line_of("json", request);
  CHECK(line.find(R"("remote":null)") != std::string::npos);
  CHECK(line.find(R"("status":null)") != std::string::npos);
  CHECK(line.find(R"("request_id":"r-1")") != std::string::npos);
  CHECK(line.find(R"("end":"worker died"})") != std::string::npos);
}

TEST_CASE("the line of a lost request is written at once or not at all") {
  const auto format = log::compile_access_format("%r %s").format;
  CHECK(log::write_lost_request(-1, format, example()));
  TempFolder folder;
  auto file = log::open_file(folder.path / "access");
  REQUIRE(file.has_value());
  CHECK(log::write_lost_request(file->get(), format, example()));
  CHECK(read_file(folder.path / "access") == "/a.php -\n");

  auto pipe = os::make_pipe();  // blocking, and nobody reads
  REQUIRE(pipe.has_value());
  int written = 0;
  while (written < 100'000 && log::write_lost_request(pipe->write.get(), format, example())) {
    ++written;
  }
  CHECK(written > 100);
  CHECK(written < 100'000);
}
