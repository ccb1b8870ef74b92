/* The interface of native modules: shared objects that answer requests inside fpm's workers.
 *
 * A module exports one object of the name fpm_module:
 *
 *   #include <fpm/module.h>
 *   static int handle(fpm_request *request, void *worker) {
 *     fpm_header(request, "Content-Type", "text/plain");
 *     return fpm_write(request, "hello\n", 6);
 *   }
 *   const struct fpm_module fpm_module = {FPM_MODULE_HEAD, .name = "hello", .handle = handle};
 *
 *   cc -shared -fPIC -o hello.so hello.c $(pkg-config --cflags fpm-module)
 *
 * and is configured with `handler = module` and `module.path = /usr/lib/fpm/hello.so`. It links to
 * nothing of fpm: what it calls comes by a table of functions, so that C, C++, Rust, Zig and whatever
 * else makes shared objects can write one. For C++ there is fpm/module.hpp over this.
 *
 * Where code runs
 *   load()    once, in a process of the pool's own (its template), as the pool's user but still outside
 *             its chroot. Workers are forked from that process and share its memory copy-on-write: what
 *             is expensive and only read belongs here. No thread may be running when load() returns, the
 *             module is refused else: a fork copies one thread only. Handlers of pthread_atfork(3) do not
 *             run in workers; do not seed a random generator here that would then be the same in all.
 *   start()   once in each worker, before its first request. Threads and connections are made here.
 *   handle()  for each request, one at a time. It may block. A module that crashes, hangs or throws takes
 *             down this one request; the worker is replaced.
 *   stop()    when a worker ends in an orderly way.
 *   where()   in a signal handler, in the middle of handle(), when a request is slow or overdue.
 *
 * Time limits. When request_terminate_timeout has passed, fpm answers 504 if no byte of an answer has
 * been sent, and ends the worker: handle() does not return. Real-time signal SIGRTMIN+3 is used for
 * that: leave it unblocked. A request over request_slowlog_timeout gets the same signal and goes on; like
 * any signal it ends sleep(3) and poll(2) early with EINTR, but restarts read(2) and its like.
 * Signals QUIT, TERM, USR1 and SIGRTMIN+3 and +4 are fpm's; SIGALRM, SIGCHLD and the rest are yours.
 *
 * Functions of this header may be called in the thread that runs handle(), before it returns, and in no
 * other. Strings given by fpm live until handle() returns.
 */
#ifndef FPM_MODULE_H
#define FPM_MODULE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. fpm loads a module that was built for its version and refuses any
 * other by name. Additions at the end of a struct do not change it: each struct says its size. */
#define FPM_MODULE_INTERFACE 1

/* Bytes with a length; not necessarily ended by a zero byte, and may contain some. */
typedef struct fpm_text {
  const char *data; /* NULL: there is none */
  size_t size;
} fpm_text;

/* What the front asks for. */
enum fpm_role {
  FPM_RESPONDER = 1, /* an answer for the visitor */
  FPM_AUTHORIZER = 2 /* may this request pass? Status 200 lets it; headers "Variable-NAME: value" become
                        parameters of it. Any other answer goes to the visitor. */
};

/* Levels of fpm_log(), those of log_level. */
enum fpm_level { FPM_DEBUG = 1, FPM_NOTICE = 2, FPM_WARNING = 3, FPM_ERROR = 4 };

typedef struct fpm_setup fpm_setup;
typedef struct fpm_request fpm_request;

/* What load() and start() are given. */
struct fpm_setup {
  uint32_t interface; /* FPM_MODULE_INTERFACE of this fpm */
  uint32_t size;      /* of this struct, in bytes */
  const char *pool;   /* its name */
  /* The value of module.option[NAME], NULL if it is not set. Lives as long as the process. */
  const char *(*option)(const fpm_setup *setup, const char *name);
  /* The option at that index, in the order of the file. Returns 0 when there are no more. */
  int (*option_at)(const fpm_setup *setup, size_t index, const char **name, const char **value);
  /* Why load() or start() is about to fail: one line for the log, kept when it returns not 0. */
  void (*fail)(const fpm_setup *setup, const char *why);
};

/* The functions behind fpm_param() and the others below, which say what they do. */
struct fpm_functions {
  uint32_t interface;
  uint32_t size;
  int (*role)(fpm_request *request);
  fpm_text (*param)(fpm_request *request, const char *name);
  int (*param_at)(fpm_request *request, size_t index, fpm_text *name, fpm_text *value);
  ptrdiff_t (*read)(fpm_request *request, void *buffer, size_t size);
  fpm_text (*body)(fpm_request *request);
  int (*status)(fpm_request *request, int code, const char *reason);
  int (*header)(fpm_request *request, const char *name, const char *value);
  int (*write)(fpm_request *request, const void *bytes, size_t size);
  int (*flush)(fpm_request *request);
  void (*write_error)(fpm_request *request, const char *text, size_t size);
  void (*log)(fpm_request *request, enum fpm_level level, const char *text);
  int (*finish)(fpm_request *request);
  int (*client_gone)(fpm_request *request);
  int64_t (*time_left)(fpm_request *request);
  void (*script)(fpm_request *request, const char *name);
};

struct fpm_request {
  const struct fpm_functions *call;
};

/* What a module exports under the name fpm_module. What is NULL is left out; handle() must be there. */
struct fpm_module {
  uint32_t interface; /* FPM_MODULE_INTERFACE */
  uint32_t size;      /* sizeof(struct fpm_module) */
  const char *name;   /* for the log */
  /* Returns 0, with `*module` for what the workers are to share, or anything else: the pool cannot start,
   * which is logged with the text of setup->fail() and tried again, later and later. */
  int (*load)(const fpm_setup *setup, void **module);
  /* Returns 0, with `*worker` for what this worker needs, or anything else: the worker ends. */
  int (*start)(const fpm_setup *setup, void *module, void **worker);
  void (*stop)(void *worker);
  /* Answers a request. Returns 0, or what END_REQUEST is to say as its application status; below 0 it
   * has failed: the visitor gets 500 if nothing was sent, else half an answer that is marked as such.
   * `worker` is what start() gave, without a start() what load() gave. */
  int (*handle)(fpm_request *request, void *worker);
  /* Where the request is: at most `depth` lines "[0x00007f6a516131a0] function() file:line\n", the
   * innermost first. Async-signal-safe. Returns the bytes written to `out`; 0 asks for fpm's own, which
   * is also what NULL means: the backtrace of the thread, with the names of exported functions. */
  size_t (*where)(void *worker, char *out, size_t size, int depth);
};

#define FPM_MODULE_HEAD \
  FPM_MODULE_INTERFACE, sizeof(struct fpm_module)

/* Makes the object visible even with -fvisibility=hidden. */
extern __attribute__((visibility("default"))) const struct fpm_module fpm_module;

/* An enum fpm_role. */
static inline int fpm_role(fpm_request *request) { return request->call->role(request); }

/* A parameter of the request (REQUEST_METHOD, QUERY_STRING, HTTP_HOST, ...) by its exact name; of a
 * repeated one the last that is not empty. data is NULL if there is none. */
static inline fpm_text fpm_param(fpm_request *request, const char *name) {
  return request->call->param(request, name);
}

/* The parameter at that index, in the order in which they came. Returns 0 when there are no more. */
static inline int fpm_param_at(fpm_request *request, size_t index, fpm_text *name,
                               fpm_text *value) {
  return request->call->param_at(request, index, name, value);
}

/* The next bytes of the body, at most `size`; waits for them. Returns how many, 0 at its end, -1 if the
 * client has gone, sends nothing for request_body_timeout, or the time is up: return from handle()
 * then, the answer is fpm's. CONTENT_LENGTH may be missing or wrong; the end is the end. */
static inline ptrdiff_t fpm_read(fpm_request *request, void *buffer, size_t size) {
  return request->call->read(request, buffer, size);
}

/* The same without a copy: the next piece of the body where it lies, until the next call of fpm_body() or
 * fpm_read(), with which it is consumed. size is 0 at the end; data is NULL where fpm_read() gives -1. */
static inline fpm_text fpm_body(fpm_request *request) { return request->call->body(request); }

/* The answer's status, 200 if this is not called. `reason`: NULL for the usual words. Before the first
 * fpm_write(), fpm_flush() or fpm_finish(). Returns 0, or -1: too late, or no status. */
static inline int fpm_status(fpm_request *request, int code, const char *reason) {
  return request->call->status(request, code, reason);
}

/* A header of the answer, in the same time; may be repeated. Without a Content-Type it is text/html.
 * Returns 0, or -1: too late, longer than 16 KiB together, or a line feed in it. */
static inline int fpm_header(fpm_request *request, const char *name, const char *value) {
  return request->call->header(request, name, value);
}

/* Body of the answer, of any size; the header goes before the first of it. Small pieces are sent
 * together; waits while the client does not take more. Returns 0, or -1: the time is up, or the client has
 * gone and request_on_abort = end. When it has gone without that, what is written is dropped. */
static inline int fpm_write(fpm_request *request, const void *bytes, size_t size) {
  return request->call->write(request, bytes, size);
}

/* Sends what was written so far now, the header at least. Returns as fpm_write(). */
static inline int fpm_flush(fpm_request *request) { return request->call->flush(request); }

/* Text for the web server's error log. */
static inline void fpm_write_error(fpm_request *request, const char *text, size_t size) {
  request->call->write_error(request, text, size);
}

/* A line for fpm's log, with pool and request named. What a module prints to stderr gets there too,
 * with catch_workers_output = yes. */
static inline void fpm_log(fpm_request *request, enum fpm_level level, const char *text) {
  request->call->log(request, level, text);
}

/* Completes the answer and lets the client go, while handle() works on: the worker stays busy, there is
 * no more body, and what is written after it is dropped. No time limit applies from here on, but with
 * request_terminate_timeout_track_finished. Returns 0, or -1: the client did not take all of it. */
static inline int fpm_finish(fpm_request *request) { return request->call->finish(request); }

/* Whether the client has gone away. A system call; does not wait. */
static inline int fpm_client_gone(fpm_request *request) {
  return request->call->client_gone(request);
}

/* Milliseconds until the request has to be over; -1 without a limit. */
static inline int64_t fpm_time_left(fpm_request *request) {
  return request->call->time_left(request);
}

/* What executes this request, for the status page and the logs, such as the name of a route. */
static inline void fpm_script(fpm_request *request, const char *name) {
  request->call->script(request, name);
}

#ifdef __cplusplus
}
#endif

#endif
