// Native modules in C++: a class over fpm/module.h, whose comments say what holds for both.
//
//   #include <fpm/module.hpp>
//   class Hello : public fpm::Module {
//    public:
//     explicit Hello(const fpm::Setup& setup) : greeting_(setup.option("greeting").value_or("hello")) {}
//     int handle(fpm::Request& request) override {
//       request.header("Content-Type", "text/plain");
//       request.write(greeting_);
//       return 0;
//     }
//    private:
//     std::string greeting_;
//   };
//   FPM_MODULE("hello", Hello)
//
// The object is made in the pool's template, before workers are forked: its constructor is load(), and
// what it throws is told as the reason why the pool does not start. No exception leaves the module: one
// that handle() throws is logged, and its request has failed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string_view>

#include "fpm/module.h"

namespace fpm {

/// What load() and start() are given.
class Setup {
 public:
  explicit Setup(const fpm_setup* setup) : setup_(setup) {}
  std::string_view pool() const { return setup_->pool; }
  /// module.option[NAME]; nothing if it is not set.
  std::optional<std::string_view> option(const char* name) const {
    const char* const value = setup_->option(setup_, name);
    return value != nullptr ? std::optional<std::string_view>(value) : std::nullopt;
  }
  /// Calls `visit(name, value)` for each option, in the order of the file.
  template <class Visit>
  void options(Visit visit) const {
    const char* name = nullptr;
    const char* value = nullptr;
    for (std::size_t i = 0; setup_->option_at(setup_, i, &name, &value) != 0; ++i) {
      visit(std::string_view(name), std::string_view(value));
    }
  }
  void fail(const char* why) const { setup_->fail(setup_, why); }

 private:
  const fpm_setup* setup_;
};

/// The client has gone, sends nothing, or the request's time is up. Thrown by Request, to be let through:
/// the answer is fpm's. Not a std::exception, so that handlers of those do not catch it.
struct Stopped {};

/// One request and its answer. Views live until handle() returns.
class Request {
 public:
  explicit Request(fpm_request* request) : request_(request) {}
  /// For calls of fpm/module.h.
  fpm_request* get() const { return request_; }

  bool authorizer() const { return fpm_role(request_) == FPM_AUTHORIZER; }
  /// A parameter; nothing if it was not sent.
  std::optional<std::string_view> param(const char* name) const {
    const fpm_text value = fpm_param(request_, name);
    if (value.data == nullptr) return std::nullopt;
    return std::string_view(value.data, value.size);
  }
  /// Calls `visit(name, value)` for each parameter.
  template <class Visit>
  void params(Visit visit) const {
    fpm_text name{};
    fpm_text value{};
    for (std::size_t i = 0; fpm_param_at(request_, i, &name, &value) != 0; ++i) {
      visit(std::string_view(name.data, name.size), std::string_view(value.data, value.size));
    }
  }

  /// The next bytes of the body. @return 0 at its end. Throws Stopped.
  std::size_t read(char* buffer, std::size_t size) {
    const std::ptrdiff_t got = fpm_read(request_, buffer, size);
    if (got < 0) throw Stopped();
    return static_cast<std::size_t>(got);
  }

  /// The next piece of the body where it lies, until the next call of this or of read(). @return an empty
  /// one at its end. Throws Stopped.
  std::string_view body() {
    const fpm_text piece = fpm_body(request_);
    if (piece.data == nullptr) throw Stopped();
    return {piece.data, piece.size};
  }

  /// @return false: too late, or not possible.
  bool status(int code, const char* reason = nullptr) {
    return fpm_status(request_, code, reason) == 0;
  }
  bool header(const char* name, const char* value) {
    return fpm_header(request_, name, value) == 0;
  }
  /// Throws Stopped.
  void write(std::string_view bytes) {
    if (fpm_write(request_, bytes.data(), bytes.size()) != 0) throw Stopped();
  }
  void flush() {
    if (fpm_flush(request_) != 0) throw Stopped();
  }
  void write_error(std::string_view text) {
    fpm_write_error(request_, text.data(), text.size());
  }
  void log(fpm_level level, const char* text) { fpm_log(request_, level, text); }
  /// @return the client took all of it.
  bool finish() { return fpm_finish(request_) == 0; }
  bool client_gone() const { return fpm_client_gone(request_) != 0; }
  std::int64_t time_left() const { return fpm_time_left(request_); }
  void script(const char* name) { fpm_script(request_, name); }

 private:
  fpm_request* request_;
};

/// What a module derives from.
class Module {
 public:
  virtual ~Module() = default;
  /// In each worker, before its first request. An exception ends the worker.
  virtual void start(const Setup&) {}
  virtual void stop() {}
  /// @return the application status, 0 as a rule.
  virtual int handle(Request& request) = 0;
  /// In a signal handler; see fpm/module.h.
  virtual std::size_t where(char*, std::size_t, int) noexcept { return 0; }
};

/// The functions of fpm_module for a class, with exceptions stopped.
template <class Kind>
struct ModuleOf {
  static int load(const fpm_setup* setup, void** module) noexcept {
    return guarded(setup, [&] { *module = static_cast<Module*>(new Kind(Setup(setup))); });
  }
  static int start(const fpm_setup* setup, void* module, void** worker) noexcept {
    *worker = module;
    return guarded(setup, [&] { static_cast<Module*>(module)->start(Setup(setup)); });
  }
  static void stop(void* worker) noexcept {
    try {
      static_cast<Module*>(worker)->stop();
    } catch (...) {  // the worker ends in any case
    }
  }
  static int handle(fpm_request* raw, void* worker) noexcept {
    try {
      Request request(raw);
      return static_cast<Module*>(worker)->handle(request);
    } catch (const Stopped&) {
      return 0;
    } catch (const std::exception& thrown) {
      fpm_log(raw, FPM_ERROR, thrown.what());
    } catch (...) {
      fpm_log(raw, FPM_ERROR, "it threw something that is no std::exception");
    }
    return -1;
  }
  static std::size_t where(void* worker, char* out, std::size_t size, int depth) noexcept {
    return static_cast<Module*>(worker)->where(out, size, depth);
  }

 private:
  template <class Call>
  static int guarded(const fpm_setup* setup, Call call) noexcept {
    try {
      call();
      return 0;
    } catch (const std::exception& thrown) {
      setup->fail(setup, thrown.what());
    } catch (...) {
      setup->fail(setup, "it threw something that is no std::exception");
    }
    return -1;
  }
};

}  // namespace fpm

/// Exports the class KIND as a module. Once in a shared object.
#define FPM_MODULE(NAME, KIND)                                                              \
  extern "C" const struct fpm_module fpm_module = {FPM_MODULE_HEAD,                         \
                                                   NAME,                                    \
                                                   ::fpm::ModuleOf<KIND>::load,             \
                                                   ::fpm::ModuleOf<KIND>::start,            \
                                                   ::fpm::ModuleOf<KIND>::stop,             \
                                                   ::fpm::ModuleOf<KIND>::handle,           \
                                                   ::fpm::ModuleOf<KIND>::where};
