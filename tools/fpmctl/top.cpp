#include "tools/fpmctl/top.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "tools/fpmctl/show.hpp"

namespace fpmctl {

namespace {

volatile sig_atomic_t g_end = 0;

/// Keys come at once and unseen, on a screen of its own.
class Screen {
 public:
  Screen() {
    ::tcgetattr(STDIN_FILENO, &before_);
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    fmt::print("\033[?1049h\033[?25l");
  }
  ~Screen() {
    fmt::print("\033[?25h\033[?1049l");
    std::fflush(stdout);
    ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

 private:
  termios before_{};
};

std::string first_word(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

/// The process at the end of the line of first children: what a worker waits for is its script, and
/// that may wait for another program.
long innermost(long pid) {
  constexpr int kDepth = 8;
  for (int i = 0; i < kDepth; ++i) {
    const std::string child = first_word(fmt::format("/proc/{0}/task/{0}/children", pid));
    const long next = std::strtol(child.c_str(), nullptr, 10);
    if (next <= 0) break;
    pid = next;
  }
  return pid;
}

std::string name_of(long pid) {
  std::ifstream file(fmt::format("/proc/{}/comm", pid));
  std::string name;
  std::getline(file, name);
  return name;
}

/// Where in the kernel; "-" where that may not be read.
std::string place_of(long pid) {
  const std::string channel = first_word(fmt::format("/proc/{}/wchan", pid));
  if (!channel.empty() && channel != "0") return channel;
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("State:\tR")) return "running";
  }
  return "-";
}

/// A worker's place in the kernel, or that of the script it waits for with its name.
std::string waits_in(long pid) {
  const long inner = innermost(pid);
  if (inner == pid) return place_of(pid);
  return name_of(inner) + ": " + place_of(inner);
}

/// Draws one look. @return what is wrong; empty: nothing.
std::string draw(Client& client, const Options& options, bool screen) {
  auto answer = client.ask(order_line(options), std::chrono::seconds(5));
  if (!answer) return answer.error().code == EINTR ? "" : answer.error().text();
  boost::system::error_code failure;
  const boost::json::value value = boost::json::parse(*answer, failure);
  const auto* const pools =
      !failure && value.is_object() ? value.as_object().if_contains("pools") : nullptr;
  if (pools == nullptr || !pools->is_array()) return "the instance gave no proper answer";
  winsize window{};
  if (screen) ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &window);
  const std::vector<std::string> lines = top_lines(*pools, window.ws_row, window.ws_col, waits_in);
  if (screen) fmt::print("\033[H");
  for (std::size_t i = 0; i < lines.size(); ++i) {
    fmt::print("{}{}", lines[i], screen ? (i + 1 < lines.size() ? "\033[K\r\n" : "\033[K") : "\n");
  }
  if (screen) fmt::print("\033[J");
  std::fflush(stdout);
  return {};
}

/// @return somebody wants to leave.
bool wait_for_key(double seconds) {
  pollfd keys{STDIN_FILENO, POLLIN, 0};
  if (::poll(&keys, 1, static_cast<int>(seconds * 1000)) <= 0) return g_end != 0;
  char key = 0;
  return ::read(STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q' || key == 3;
}

}  // namespace

int top(Client& client, const Options& options) {
  const bool screen =
      !options.batch && ::isatty(STDOUT_FILENO) == 1 && ::isatty(STDIN_FILENO) == 1;
  const int count = options.count > 0 || screen ? options.count : 1;
  struct sigaction action {};
  action.sa_handler = [](int) { g_end = 1; };
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) ::sigaction(signal, &action, nullptr);
  std::optional<Screen> own;
  if (screen) own.emplace();
  std::string wrong;
  for (int look = 1; wrong.empty() && g_end == 0; ++look) {
    wrong = draw(client, options, screen);
    if (count > 0 && look >= count) break;
    if (screen) {
      if (wait_for_key(options.delay)) break;
    } else {
      ::poll(nullptr, 0, static_cast<int>(options.delay * 1000));
    }
  }
  own.reset();
  if (wrong.empty()) return 0;
  fmt::print(stderr, "fpmctl: {}\n", wrong);
  return 2;
}

}  // namespace fpmctl
