// What workers print: its own file, and lines that are shown as they come.
#include <fcntl.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "log_rig.hpp"

using namespace fpm;

namespace {

/// A stream of a worker as the master follows it.
struct Stream {
  log::OutputLines lines;
  pid_t pid;
  bool decorated;

  Stream(pid_t pid_, bool decorated_)
      : lines(pid_, "stderr", log::output_decorated(decorated_)),
        pid(pid_),
        decorated(decorated_) {}

  log::OutputLines::Emit emit() {
    return [this](std::string_view text, log::OutputPart part) {
      log::write_output({.about = {.pool = "www", .pid = pid},
                         .stream = "stderr",
                         .decorated = decorated,
                         .source = this},
                        text, part);
    };
  }
  void print(std::string_view text) {
    lines.feed(text, log::output_room("www", decorated), emit());
    if (log::output_unbuffered("www")) lines.show(emit());
  }
  void close() { lines.close(log::output_room("www", decorated), emit()); }
};

struct Files {
  TempFolder folder;
  LogEnds ends;
  std::filesystem::path log = folder.path / "log";
  std::filesystem::path own = folder.path / "own";

  std::string text() const {
    return std::regex_replace(read_file(log), std::regex(kTime), "TIME ");
  }
  std::string own_text() const {
    return std::regex_replace(read_file(own), std::regex(kTime), "TIME ");
  }
};

std::string said(int pid, std::string_view what) {
  return "TIME WARNING: [pool www] child " + std::to_string(pid) + " said into stderr: \"" +
         std::string(what);
}

}  // namespace

TEST_CASE("with log_buffering = no output is shown before its line ends") {
  Files files;
  REQUIRE(log::open({.path = files.log, .buffering = false}).has_value());
  Stream stream(7, true);
  stream.print("one");
  CHECK(files.text() == said(7, "one"));
  stream.print(" and two");
  CHECK(files.text() == said(7, "one and two"));
  stream.print("\nthree\nfour");
  CHECK(files.text() ==
        said(7, "one and two\"\n") + said(7, "three\"\n") + said(7, "four"));
  stream.close();
  CHECK(files.text() == said(7, "one and two\"\n") + said(7, "three\"\n") +
                            said(7, "four\", pipe is closed\n"));
}

TEST_CASE("with log_buffering = yes it is held until its line ends") {
  Files files;
  REQUIRE(log::open({.path = files.log}).has_value());
  Stream stream(7, true);
  stream.print("one");
  CHECK(files.text().empty());
  stream.print("\n");
  CHECK(files.text() == said(7, "one\"\n"));
}

TEST_CASE("lines that are shown as they come do not run into others") {
  Files files;
  REQUIRE(log::open({.path = files.log, .buffering = false}).has_value());
  Stream first(7, true);
  Stream second(8, true);
  first.print("a");
  second.print("b");
  CHECK(files.text() == said(7, "a\"\n") + said(8, "b"));
  first.print("c\n");
  CHECK(files.text() == said(7, "a\"\n") + said(8, "b\"\n") + said(7, "c\"\n"));
  second.print("\n");  // its line has been ended: nothing is left to say
  CHECK(files.text() == said(7, "a\"\n") + said(8, "b\"\n") + said(7, "c\"\n"));
  first.print("d");
  log::notice("master");
  first.close();
  CHECK(files.text() == said(7, "a\"\n") + said(8, "b\"\n") + said(7, "c\"\n") +
                            said(7, "d\"\n") + "TIME NOTICE: master\n" +
                            said(7, "\", pipe is closed\n"));
}

TEST_CASE("undecorated output that is shown as it comes is the bytes alone") {
  Files files;
  REQUIRE(log::open({.path = files.log, .buffering = false}).has_value());
  Stream stream(7, false);
  stream.print("50 %");
  CHECK(files.text() == "50 %");
  stream.print("..100 %\n");
  CHECK(files.text() == "50 %..100 %\n");
  stream.print("x");
  log::notice("master");
  stream.print("y\n");
  CHECK(files.text() == "50 %..100 %\nx\nTIME NOTICE: master\ny\n");
}

TEST_CASE("lines that are shown as they come are wrapped like others") {
  Files files;
  const bool buffering = GENERATE(true, false);
  REQUIRE(log::open({.path = files.log, .limit = 512, .buffering = buffering}).has_value());
  Stream stream(7, true);
  for (int i = 0; i < 90; ++i) stream.print("0123456789");
  stream.print("\n");
  const auto lines = lines_of(read_file(files.log));
  REQUIRE(lines.size() == 3);
  CHECK(lines[0].size() == 511);
  CHECK(lines[1].size() == 511);
  CHECK(lines[0].back() == '"');
}

TEST_CASE("output_log takes a pool's output instead of the log") {
  Files files;
  REQUIRE(log::open({.path = files.log, .level = log::Level::error}).has_value());
  REQUIRE(log::open_output("www", files.own).has_value());
  Stream stream(7, true);
  stream.print("one\n");  // also where the log shows no warnings
  CHECK(files.text().empty());
  CHECK(files.own_text() == said(7, "one\"\n"));
  struct stat status {};
  REQUIRE(::stat(files.own.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);

  log::write_output({.about = {.pool = "other"}, .stream = "stderr"}, "x");
  log::error("of the master");
  CHECK(lines_of(files.own_text()).size() == 1);
  CHECK(files.text() == "TIME ERROR: of the master\n");

  log::close_output("www");
  stream.print("two\n");
  CHECK(lines_of(files.own_text()).size() == 1);
}

TEST_CASE("output_log is reopened with the log") {
  Files files;
  REQUIRE(log::open({.path = files.log}).has_value());
  REQUIRE(log::open_output("www", files.own).has_value());
  Stream stream(7, true);
  stream.print("one\n");
  std::filesystem::rename(files.own, files.folder.path / "own.1");
  stream.print("two\n");
  REQUIRE(log::reopen().has_value());
  stream.print("three\n");
  CHECK(files.own_text() == said(7, "three\"\n"));
  CHECK(lines_of(read_file(files.folder.path / "own.1")).size() == 2);
  REQUIRE(log::open_output("www", files.own).has_value());  // the same: nothing happens
  CHECK(log::open_output("www", files.folder.path / "none" / "x").has_error());
  stream.print("four\n");
  CHECK(lines_of(files.own_text()).size() == 2);
}

TEST_CASE("a worker keeps its own pool's output_log, and follows it") {
  Files files;
  REQUIRE(log::open({.path = files.log}).has_value());
  CHECK(log::output_descriptor("www") == -1);
  REQUIRE(log::open_output("www", files.own).has_value());
  REQUIRE(log::open_output("other", files.folder.path / "other").has_value());
  log::become_worker(log::WorkerLog::direct, "www");
  CHECK(log::output_descriptor("www") >= 0);
  CHECK(log::output_descriptor("other") == -1);
  Stream(7, true).print("one\n");
  CHECK(files.own_text() == said(7, "one\"\n"));
  auto file = log::open_file(files.folder.path / "new");
  REQUIRE(file.has_value());
  log::use_output_descriptor("www", std::move(*file));
  Stream(7, true).print("two\n");
  CHECK(lines_of(read_file(files.folder.path / "new")).size() == 1);
}

TEST_CASE("output_log in json has objects, undecorated it has the bytes") {
  Files files;
  REQUIRE(log::open({.path = files.log, .format = log::LineFormat::json}).has_value());
  REQUIRE(log::open_output("www", files.own).has_value());
  Stream(7, true).print("one\n");
  Stream(7, false).print("{\"two\":2}\n");
  const auto lines = lines_of(read_file(files.own));
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find(R"("pid":7,"stream":"stderr","output":"one"})") != std::string::npos);
  CHECK(lines[1] == "{\"two\":2}");
  CHECK(files.text().empty());
}

TEST_CASE("what a full reader lost of a line that was shown does not join two lines") {
  LogEnds ends;
  auto pipe = os::make_pipe(O_NONBLOCK);
  REQUIRE(pipe.has_value());
  {
    StderrTo redirected(pipe->write.get());
    REQUIRE(log::open({.buffering = false}).has_value());
  }
  Stream stream(7, true);
  for (int i = 0; i < 50000; ++i) stream.print("begin-" + std::to_string(i));
  stream.print("\n");
  std::string got;
  while (!log::flush()) got += read_available(pipe->read.get());
  got += read_available(pipe->read.get());
  log::notice("after");
  got += read_available(pipe->read.get());
  REQUIRE(got.find("lines of this log were lost") != std::string::npos);
  for (const std::string& line : lines_of(got)) {
    INFO(line);
    CHECK(matches(line, kTime + ".*"));
    CHECK(line.substr(1).find("WARNING: [", 30) == std::string::npos);
  }
}
