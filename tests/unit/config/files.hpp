// Configuration files in a folder of their own, gone at the end of the test.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "fpm/config/load.hpp"

namespace test {

class Files {
 public:
  Files() {
    std::string name = (std::filesystem::temp_directory_path() / "fpm-config-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~Files() { std::filesystem::remove_all(path_); }
  Files(const Files&) = delete;
  Files& operator=(const Files&) = delete;

  const std::string& path() const { return path_; }
  std::string operator()(const std::string& name) const { return path_ + "/" + name; }

  std::string write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = (*this)(name);
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file, std::ios::binary) << text;
    return file.string();
  }

  /// Loads `text` as fpm.conf, by default as an ordinary user would.
  fpm::config::Loaded load(const std::string& text) const {
    return fpm::config::load(write("fpm.conf", text), options);
  }

  /// The messages of the problems, with the folder's path as "@".
  std::vector<std::string> messages(const fpm::config::Loaded& loaded) const {
    std::vector<std::string> out;
    for (const auto& problem : loaded.problems) {
      std::string text = problem.message();
      for (std::size_t at; (at = text.find(path_)) != std::string::npos;) {
        text.replace(at, path_.size(), "@");
      }
      out.push_back(std::move(text));
    }
    return out;
  }
  std::vector<std::string> problems(const std::string& text) const { return messages(load(text)); }

  fpm::config::LoadOptions options = [] {
    fpm::config::LoadOptions known;  // nothing of this machine
    known.running_as_root = false;
    known.somaxconn = 4096;
    known.cpus = 8;
    return known;
  }();

 private:
  std::string path_;
};

/// A variable of the environment for the length of a test.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

using Lines = std::vector<std::string>;

/// What every pool must have, but for `listen`.
inline const std::string kRest = "pm = static\npm.max_children = 2\n";
inline const std::string kPool = "[www]\nlisten = www.sock\n" + kRest;

}  // namespace test
