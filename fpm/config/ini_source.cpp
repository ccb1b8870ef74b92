#include "fpm/config/ini_source.hpp"

#include <fmt/format.h>
#include <glob.h>
#include <ini.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "fpm/config/ini_value.hpp"
#include "fpm/config/values.hpp"
#include "fpm/os/error.hpp"

namespace fpm::config {
namespace {

/// inih's switches are global in Debian's build. By default it cuts lines at 199 bytes, joins an
/// indented line with the previous key, and finds comments inside quotes.
void set_up_inih() {
  ini_use_stack = false;
  ini_initial_alloc = static_cast<int>(kMaxLine) + 3;
  ini_allow_realloc = false;
  ini_allow_multiline = false;
  ini_allow_inline_comments = false;
}

/// What all files of one configuration share.
struct Reading {
  const std::string& prefix;
  std::vector<Problem>& problems;
  const EntryTaker& take;
};

/// One file under inih: a source of lines and a sink of names and values.
class FileReader {
 public:
  FileReader(Reading& reading, std::string file, std::string section, int depth)
      : reading_(reading), file_(std::move(file)), section_(std::move(section)), depth_(depth) {}

  /// @return 0 or the errno with which the file could not be opened.
  int read() {
    struct stat info {};
    if (stat(file_.c_str(), &info) != 0) return errno;
    if (S_ISDIR(info.st_mode)) return EISDIR;
    errno = 0;
    in_.open(file_, std::ios::binary);
    if (!in_) return errno != 0 ? errno : EIO;
    set_up_inih();
    ini_parse_stream(&FileReader::next_line, this, &FileReader::take, this);
    if (in_.bad()) problem("reading stopped here: " + os::errno_text(EIO));
    return 0;
  }

 private:
  static char* next_line(char* buffer, int, void* self) {
    return static_cast<FileReader*>(self)->next_line(buffer);
  }
  static int take(void* self, const char*, const char* name, const char* value) {
    static_cast<FileReader*>(self)->take(name, value);
    return 1;
  }

  char* next_line(char* buffer);
  std::string line_for_inih(std::string_view line);
  void open_section(std::string_view line);
  void take(std::string_view name, std::string_view value);
  bool split_name(std::string_view name, Entry& entry) const;
  void include(const Entry& entry);

  void problem(std::string text, log::Level level = log::Level::error) {
    reading_.problems.push_back({level, file_, line_, pool(), std::move(text)});
  }
  std::string pool() const { return same_word(section_, "global") ? std::string() : section_; }

  Reading& reading_;
  std::string file_;
  std::string section_;
  int depth_;
  std::ifstream in_;
  int line_ = 0;
  std::string current_;  ///< the line that inih has now
  /// The last section could not be read: nobody knows where its lines belong, so they are skipped.
  bool lost_ = false;
};

/// Gives inih the next line without its indentation. A line that is dealt with here, or refused,
/// is handed over empty.
char* FileReader::next_line(char* buffer) {
  if (!std::getline(in_, current_)) return nullptr;
  ++line_;
  const std::string line = line_for_inih(current_);
  std::memcpy(buffer, line.c_str(), line.size() + 1);
  return buffer;
}

std::string FileReader::line_for_inih(std::string_view line) {
  if (line.size() > kMaxLine) {
    problem(fmt::format("a line of {} bytes: expected at most {}", line.size(), kMaxLine));
    return {};
  }
  if (line.find('\0') != std::string_view::npos) {
    problem("the line has a NUL byte: expected text");
    return {};
  }
  if (line_ == 1 && line.substr(0, 3) == "\xEF\xBB\xBF") line.remove_prefix(3);
  line = trim(line);
  if (line.empty() || line.front() == ';' || line.front() == '#') return {};
  if (line.front() == '[') {
    open_section(line);
    return {};
  }
  if (lost_) return {};
  // inih takes "name: value" as well and says nothing of a line without either.
  const std::size_t end = line.find_first_of("=:;");
  if (end == 0 || end == std::string_view::npos || line[end] != '=') {
    problem(fmt::format("\"{}\": expected name = value", line.substr(0, 200)));
    return {};
  }
  return std::string(line);
}

/// Sections are kept here, because inih cuts their names at 49 bytes.
void FileReader::open_section(std::string_view line) {
  const std::size_t end = line.find(']');
  const std::string_view rest =
      end == std::string_view::npos ? std::string_view() : trim(line.substr(end + 1));
  const bool clean = rest.empty() || rest.front() == ';' || rest.front() == '#';
  const std::string_view name =
      end == std::string_view::npos ? std::string_view() : trim(line.substr(1, end - 1));
  lost_ = name.empty() || !clean;
  if (lost_) {
    problem(fmt::format("\"{}\": expected [global] or [name of a pool]", line.substr(0, 200)));
    return;
  }
  section_ = name;
  Entry entry;
  entry.place = {file_, line_};
  entry.section = section_;
  reading_.take(entry);
}

void FileReader::take(std::string_view name, std::string_view value) {
  Entry entry;
  entry.place = {file_, line_};
  entry.section = section_;
  if (!split_name(name, entry)) {
    problem(fmt::format("\"{}\": expected name = value, name[] = value or name[key] = value",
                        trim(current_).substr(0, 200)));
    return;
  }
  IniValue read = read_value(value);
  entry.value = std::move(read.text);
  entry.quoted = read.quoted;
  entry.broken = !read.error.empty();
  if (entry.broken) {
    problem(fmt::format("{} = {}: {}", entry.written_name(), trim(value), read.error));
  }
  if (same_word(entry.name, "include")) {
    if (!entry.broken) include(entry);
    return;
  }
  reading_.take(entry);
}

/// "env[PATH]" into "env" and "PATH".
bool FileReader::split_name(std::string_view name, Entry& entry) const {
  const std::size_t open = name.find('[');
  entry.name = trim(name.substr(0, open));
  if (open != std::string_view::npos) {
    if (name.back() != ']') return false;
    entry.index = trim(name.substr(open + 1, name.size() - open - 2));
  }
  return !entry.name.empty() && entry.name.find_first_of(" \t\"'") == std::string::npos;
}

void FileReader::include(const Entry& entry) {
  if (entry.value.empty() || entry.index) {
    problem(fmt::format("{} = \"{}\": expected a file or a pattern, as in pools.d/*.conf",
                        entry.written_name(), entry.value));
    return;
  }
  if (depth_ >= kMaxIncludeDepth) {
    problem(fmt::format("include = \"{}\": failed to include more than {} files recursively",
                        entry.value, kMaxIncludeDepth));
    return;
  }
  const bool absolute = entry.value.front() == '/';
  const std::string pattern = absolute ? entry.value : reading_.prefix + "/" + entry.value;
  glob_t found{};
  const int result = glob(pattern.c_str(), GLOB_ERR | GLOB_MARK, nullptr, &found);
  // A folder that may not be read is an error, one that is not there matches nothing.
  if (result == GLOB_NOMATCH || (result == GLOB_ABORTED && errno == ENOENT)) {
    reading_.problems.push_back(
        {log::Level::warning,
         {},
         0,
         {},
         fmt::format("Nothing matches the include pattern '{}' from {} at line {}.", entry.value,
                     file_, line_)});
  } else if (result != 0) {
    problem(fmt::format("include = \"{}\": {}", entry.value,
                        os::errno_text(result == GLOB_NOSPACE ? ENOMEM : errno)));
  }
  for (std::size_t i = 0; result == 0 && i < found.gl_pathc; ++i) {
    const std::string path = found.gl_pathv[i];
    if (path.back() == '/') continue;  // a folder, by GLOB_MARK
    // An included file begins in the section of the line that includes it, and that line's file
    // goes on in its own section afterwards, whatever the included one ends with.
    const int error = FileReader(reading_, path, section_, depth_ + 1).read();
    if (error != 0) {
      problem(fmt::format("include = \"{}\": failed to open '{}': {}", entry.value, path,
                          os::errno_text(error)));
    }
  }
  globfree(&found);
}

}  // namespace

std::string Entry::written_name() const {
  return index ? fmt::format("{}[{}]", name, *index) : name;
}

bool read_ini(const std::string& file, const std::string& prefix, std::vector<Problem>& problems,
              const EntryTaker& take) {
  Reading reading{prefix, problems, take};
  const int error = FileReader(reading, file, "global", 1).read();
  if (error == 0) return true;
  problems.push_back(
      {log::Level::error,
       {},
       0,
       {},
       fmt::format("failed to open configuration file '{}': {}", file, os::errno_text(error))});
  return false;
}

}  // namespace fpm::config
