// What a script sees and how its answer is carried.
#include <fcntl.h>
#include <sys/resource.h>

#include <thread>

#include "rig.hpp"

using namespace fpm;
using namespace fpm::handlers;

namespace {

const char kHeader[] = "printf 'Content-Type: text/plain\\n\\n'\n";

std::size_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

void send_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t now = ::send(fd, text.data(), text.size(), MSG_NOSIGNAL);
    if (now <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(now));
  }
}

// Both directions of a client at once: sends `body`, reads the answer to its end.
class Client {
 public:
  Client(int fd, std::string body)
      : writer_([fd, text = std::move(body)] { send_all(fd, text); }),
        reader_([this, fd] { answer_ = FakeExchange::read_all(fd); }) {}
  std::string answer() {
    writer_.join();
    reader_.join();
    return std::move(answer_);
  }

 private:
  std::string answer_;
  std::thread writer_, reader_;
};

}  // namespace

TEST_CASE("a script runs in its own folder and answers with header, body and exit status") {
  Rig rig;
  FakeExchange exchange;
  const std::string script =
      rig.script("printf 'Status: 201 Created\\nX-A: b\\n\\n'; pwd; echo \"$0 $#\"; exit 3");
  exchange.parameters.add("QUERY_STRING", "a+b");
  const Outcome outcome = rig.run(exchange, script);
  CHECK(outcome.end == End::ok);
  CHECK(outcome.app_status == 3);
  CHECK_FALSE(outcome.truncated);
  CHECK(exchange.status == 201);
  CHECK(exchange.header == "Status: 201 Created\r\nX-A: b\r\n\r\n");
  CHECK(exchange.received() == rig.folder + "\n" + script + " 0\n");
  CHECK(exchange.script == script);
  CHECK(exchange.lines.empty());
}

TEST_CASE("a script's environment is the request's and nothing of ours") {
  ::setenv("FPM_TEST_SECRET", "x", 1);
  ::setenv("TEST_SECRET", "x", 1);
  Rig rig;
  rig.pool.env = {{"FROM_POOL", "yes"}};
  FakeExchange exchange;
  exchange.parameters.add("HTTP_PROXY", "http://evil/");
  exchange.parameters.add("LD_PRELOAD", "/nowhere.so");
  exchange.parameters.add("CONTENT_LENGTH", "");
  rig.run(exchange, rig.script(std::string(kHeader) + "/usr/bin/env") + "/more");
  const std::string seen = "\n" + exchange.received();
  for (const char* there : {"\nPATH=/usr/local/bin:/usr/bin:/bin\n", "\nHOME=/home/web\n",
                            "\nUSER=web\n", "\nFROM_POOL=yes\n", "\nPATH_INFO=/more\n",
                            "\nGATEWAY_INTERFACE=CGI/1.1\n", "\nQUERY_STRING=\n"}) {
    CAPTURE(there);
    CHECK(seen.find(there) != seen.npos);
  }
  for (const char* absent : {"SECRET", "HTTP_PROXY", "LD_PRELOAD", "CONTENT_LENGTH"}) {
    CAPTURE(absent);
    CHECK(seen.find(absent) == seen.npos);
  }
  ::unsetenv("FPM_TEST_SECRET");
  ::unsetenv("TEST_SECRET");
}

TEST_CASE("clear_env = no hands the worker's environment on") {
  ::setenv("TEST_INHERITED", "x", 1);
  ::setenv("NOTIFY_SOCKET", "x", 1);
  Rig rig;
  rig.pool.clear_env = false;
  FakeExchange exchange;
  rig.run(exchange, rig.script(std::string(kHeader) + "echo $TEST_INHERITED,$NOTIFY_SOCKET,$HOME"));
  CHECK(exchange.received() == "x,,/home/web\n");
  ::unsetenv("TEST_INHERITED");
  ::unsetenv("NOTIFY_SOCKET");
}

TEST_CASE("a script starts with no descriptor, signal mask or disposition of ours") {
  const int stray = ::dup(0);  // without close-on-exec, as a careless library would have it
  REQUIRE(stray > 2);
  ::signal(SIGUSR1, SIG_IGN);
  sigset_t blocked, before;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR2);
  ::sigprocmask(SIG_BLOCK, &blocked, &before);
  {
    Rig rig;
    FakeExchange exchange;
    rig.run(exchange, rig.script(std::string(kHeader) + "[ -e /proc/$$/fd/" +
                                 std::to_string(stray) + " ] && echo leaked\n" +
                                 "grep -E 'Sig(Blk|Ign)' /proc/self/status\n"
                                 "cut -d' ' -f5 /proc/$$/stat | grep -qx $$ && echo leader"));
    CHECK(exchange.received() == "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\nleader\n");
  }
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  ::signal(SIGUSR1, SIG_DFL);
  ::close(stray);
}

TEST_CASE("what may not be run is refused with a page that holds no path") {
  Rig rig;
  rig.pool.cgi_root = rig.path("root");
  std::filesystem::create_directories(rig.path("root/sub"));
  rig.script("", "outside.cgi");
  rig.script("", "root/fine.cgi");
  rig.file("text", "root/plain", 0644);
  std::filesystem::create_symlink("../outside.cgi", rig.path("root/link.cgi"));
  std::filesystem::create_symlink(rig.path("root/fine.cgi"), rig.path("root/absolute.cgi"));
  const std::pair<const char*, int> rows[] = {
      {"root/missing", 404},        {"root/sub", 403},      {"root/plain", 403},
      {"outside.cgi", 403},         {"not-there", 403},     {"root/link.cgi", 403},
      {"root/../outside.cgi", 403}, {"root/fine.cgi", 502}, {"root/absolute.cgi", 502},
  };
  for (const auto& [name, status] : rows) {  // 502: run, and the empty script gives no answer
    CAPTURE(name);
    FakeExchange exchange;
    rig.run(exchange, rig.path(name));
    CHECK(exchange.status == status);
    CHECK(exchange.sentence.find('/') == std::string::npos);
    CHECK(exchange.lines.size() == 1);
  }
}

TEST_CASE("a script that answers before it reads, and at length, deadlocks with nobody") {
  Rig rig;
  FakeExchange exchange;
  exchange.body_size = 400'000;
  Client client(exchange.client.get(), std::string(400'000, 'b'));
  const Outcome outcome =
      rig.run(exchange, rig.script(std::string(kHeader) + "head -c 300000 /dev/zero; wc -c"));
  exchange.close();
  const std::string answer = client.answer();
  CHECK(outcome.end == End::ok);
  CHECK(answer.size() == 300'000 + 7);
  CHECK(answer.substr(300'000) == "400000\n");
}

TEST_CASE("an answer does not begin before the body is in, since nginx would stop sending it") {
  Rig rig;
  rig.fifo("printed");
  FakeExchange exchange;
  exchange.body_size = 400'000;
  const int client = exchange.client.get();
  bool early = false;
  std::thread front([&] {
    const os::UniqueFd printed(::open(rig.path("printed").c_str(), O_RDONLY | O_CLOEXEC));
    FakeExchange::read_all(printed.get());  // the script has printed its header
    const std::string half(200'000, 'b');
    send_all(client, half);
    char byte = 0;
    early = ::recv(client, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
    send_all(client, half);
  });
  const Outcome outcome =
      rig.run(exchange, rig.script(std::string(kHeader) + "echo x; : > printed; wc -c"));
  front.join();
  CHECK(outcome.end == End::ok);
  CHECK_FALSE(early);
  CHECK(exchange.received() == "x\n400000\n");
}

TEST_CASE("a script may talk with its client, line by line, while the body is open") {
  Rig rig;
  FakeExchange exchange;
  exchange.body_size = 8;
  std::string heard;
  std::thread client([&heard, fd = exchange.client.get()] {
    for (const char* line : {"one\n", "two\n"}) {
      send_all(fd, line);
      char reply[64];
      const ssize_t got = ::recv(fd, reply, 8, MSG_WAITALL);
      heard.append(reply, got > 0 ? static_cast<std::size_t>(got) : 0);
    }
  });
  const Outcome outcome = rig.run(
      exchange, rig.script(std::string(kHeader) + "while read line; do echo \"got $line\"; done"));
  exchange.close();
  client.join();
  CHECK(outcome.end == End::ok);
  CHECK(heard == "got one\ngot two\n");
}

TEST_CASE("a body streams through a script that echoes it") {
  Rig rig;
  FakeExchange exchange;
  std::string body;
  for (int i = 0; body.size() < 1'000'000; ++i) body += std::to_string(i);
  exchange.body_size = body.size();
  Client client(exchange.client.get(), body);
  const Outcome outcome = rig.run(exchange, rig.script(std::string(kHeader) + "exec cat"));
  exchange.close();
  CHECK(outcome.end == End::ok);
  CHECK(client.answer() == body);
}

TEST_CASE("a script that does not read its body is answered all the same") {
  Rig rig;
  FakeExchange exchange;
  exchange.body_size = 400'000;
  Client client(exchange.client.get(), std::string(400'000, 'b'));
  const Outcome outcome =
      rig.run(exchange, rig.script("exec <&-\n" + std::string(kHeader) + "echo ok"));
  exchange.close();
  CHECK(outcome.end == End::ok);
  CHECK(client.answer() == "ok\n");
}

TEST_CASE("a long answer whose end is still in the pipe when the script ends arrives whole") {
  Rig rig;
  FakeExchange exchange;
  Client client(exchange.client.get(), "");
  const Outcome outcome =
      rig.run(exchange, rig.script(std::string(kHeader) + "exec head -c 3000000 /dev/zero"));
  exchange.close();
  CHECK(outcome.end == End::ok);
  CHECK(client.answer().size() == 3'000'000);
}

TEST_CASE("standard error goes to the log line by line and to the front") {
  Rig rig;
  FakeExchange exchange;
  rig.run(exchange,
          rig.script("echo one >&2; " + std::string(kHeader) + "printf 'two\nthree' >&2"));
  CHECK(exchange.lines == std::vector<std::string>{"script said into stderr: \"one\"",
                                                   "script said into stderr: \"two\"",
                                                   "script said into stderr: \"three\""});
  CHECK(exchange.errors == "one\ntwo\nthree");
}

TEST_CASE("neither a script nor a client can forge lines of the log") {
  Rig rig;
  FakeExchange exchange;
  rig.run(exchange, rig.script("printf '\\033[31mred\\rover\\n' >&2; " + std::string(kHeader)));
  CHECK(exchange.logged("\\x1B[31mred\\x0Dover"));
  FakeExchange other;
  rig.run(other, rig.path("a\n[22-Nov-2026] ALERT: forged"));
  REQUIRE(other.lines.size() == 1);
  for (const std::string& text :
       {other.lines.front(), other.errors.substr(0, other.errors.size() - 1)}) {
    CHECK(text.find('\n') == text.npos);
    CHECK(text.find("a\\x0A[22-Nov-2026] ALERT: forged") != text.npos);
  }
}

TEST_CASE("standard error beyond what a pipe holds does not stop a script") {
  Rig rig;
  FakeExchange exchange;
  const Outcome outcome = rig.run(
      exchange, rig.script("head -c 300000 /dev/zero | tr '\\0' e >&2\n" + std::string(kHeader)));
  CHECK(outcome.end == End::ok);
  CHECK(exchange.errors.size() == 300'000);
}

TEST_CASE("an authorizer does not wait for a body") {
  Rig rig;
  FakeExchange exchange;
  exchange.asked_role = fcgi::Role::authorizer;
  exchange.body_size = 1;  // never sent
  const Outcome outcome =
      rig.run(exchange, rig.script("cat; printf 'Status: 200\\nVariable-USER: x\\n\\n'"));
  CHECK(outcome.end == End::ok);
  CHECK(exchange.header == "Status: 200\r\nVariable-USER: x\r\n\r\n");
}

TEST_CASE("a repeated parameter is told once") {
  Rig rig;
  const std::string script = rig.script(kHeader);
  for (int request = 0; request < 2; ++request) {
    FakeExchange exchange;
    exchange.parameters.add("X", "a");
    exchange.parameters.add("X", "b");
    rig.run(exchange, script);
    CHECK(exchange.logged("sends X more than once") == (request == 0));
  }
}

TEST_CASE("the script's CPU time and memory are told") {
  Rig rig;
  FakeExchange exchange;
  rig.run(exchange,
          rig.script(std::string(kHeader) + "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"));
  CHECK((exchange.usage.user + exchange.usage.system).count() > 0);
  CHECK(exchange.usage.peak_bytes > 100'000);
}

TEST_CASE("a thousand requests leak no descriptor and no process") {
  Rig rig;
  rig.pool.cgi_program = "/bin/echo";  // a blank line: the shortest answer there is
  std::size_t before = 0;
  for (int request = 0; request < 1000; ++request) {
    FakeExchange exchange;
    const Outcome outcome = rig.run(exchange, "");
    REQUIRE(outcome.end == End::ok);
    REQUIRE(exchange.status == 200);
    if (request == 0) before = open_descriptors();
    if (request == 999) CHECK(open_descriptors() == before);
  }
}
