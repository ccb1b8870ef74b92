/* A module that misbehaves on request. QUERY_STRING says how; module.option[NAME] how it loads. */
#include <errno.h>
#include <fpm/module.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What all workers share: made while loading, inherited by fork. */
struct shared {
  pthread_rwlock_t rwlock;
  pthread_mutex_t robust;
  atomic_int holds;
};
static struct shared *shared;
static int workers_before;
static int loads;

static void *idle_thread(void *unused) {
  (void)unused;
  for (;;) pause();
  return NULL;
}

static int load(const fpm_setup *setup, void **module) {
  pthread_rwlockattr_t rw;
  pthread_mutexattr_t mutex;
  const char *how = setup->option(setup, "load");
  ++loads;
  if (how != NULL && strcmp(how, "thread") == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, idle_thread, NULL);
  }
  if (how != NULL && strcmp(how, "crash") == 0) abort();
  if (how != NULL && strcmp(how, "exit") == 0) exit(3);
  if (how != NULL && strcmp(how, "fail") == 0) {
    setup->fail(setup, "the table of prices is missing");
    return 7;
  }
  printf("loaded as uid %d in %s\n", (int)getuid(), access("/outside", F_OK) == 0 ? "a root" : "/");
  fflush(stdout);
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pthread_rwlockattr_init(&rw);
  pthread_rwlockattr_setpshared(&rw, PTHREAD_PROCESS_SHARED);
  pthread_rwlock_init(&shared->rwlock, &rw);
  pthread_mutexattr_init(&mutex);
  pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&mutex, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&shared->robust, &mutex);
  *module = shared;
  return 0;
}

static int start(const fpm_setup *setup, void *module, void **worker) {
  const char *how = setup->option(setup, "start");
  *worker = module;
  ++workers_before;
  if (how != NULL && strcmp(how, "fail") == 0) {
    setup->fail(setup, "no connection to the database");
    return 9;
  }
  if (how != NULL && strcmp(how, "thread") == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, idle_thread, NULL);
  }
  return 0;
}

static int say(fpm_request *request, const char *text) {
  fpm_header(request, "Content-Type", "text/plain");
  fpm_header(request, "X-Pid", ({ static char pid[16]; snprintf(pid, sizeof pid, "%d", (int)getpid()); pid; }));
  return fpm_write(request, text, strlen(text));
}

/* Known to the backtrace by its name. */
__attribute__((visibility("default"), noinline)) void sleep_in_the_module(int ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000L};
  while (nanosleep(&time, &time) != 0 && errno == EINTR) {
  }
}

__attribute__((visibility("default"), noinline)) void spin_in_the_module(void) {
  for (volatile unsigned long i = 0;; ++i) {
  }
}

static int with_locks(fpm_request *request, const char *how) {
  char text[64];
  int result = -1;
  if (strcmp(how, "hold") == 0) { /* the other worker waits for this */
    result = pthread_rwlock_wrlock(&shared->rwlock);
    atomic_store(&shared->holds, 1);
    sleep_in_the_module(400);
    atomic_store(&shared->holds, 0);
    pthread_rwlock_unlock(&shared->rwlock);
  } else if (strcmp(how, "wait") == 0) {
    while (atomic_load(&shared->holds) == 0) sleep_in_the_module(1);
    result = pthread_rwlock_wrlock(&shared->rwlock);
    if (atomic_load(&shared->holds) != 0) result = 1000; /* it did not wait */
    pthread_rwlock_unlock(&shared->rwlock);
  } else if (strcmp(how, "die") == 0) { /* with the mutex */
    pthread_mutex_lock(&shared->robust);
    raise(SIGKILL);
  } else if (strcmp(how, "inherit") == 0) {
    result = pthread_mutex_lock(&shared->robust);
    if (result == EOWNERDEAD) pthread_mutex_consistent(&shared->robust);
    pthread_mutex_unlock(&shared->robust);
  }
  snprintf(text, sizeof text, "result %d\n", result);
  return say(request, text);
}

static void block_all_signals(void) {
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, NULL);
}

static int handle(fpm_request *request, void *worker) {
  char how[64] = "";
  const fpm_text query = fpm_param(request, "QUERY_STRING");
  (void)worker;
  if (query.data != NULL && query.size < sizeof how) memcpy(how, query.data, query.size);
  if (strncmp(how, "lock-", 5) == 0) return with_locks(request, how + 5);
  if (strcmp(how, "crash") == 0) *(volatile int *)8 = 1;
  if (strcmp(how, "exit") == 0) exit(1);
  if (strcmp(how, "fail") == 0) return -1;
  if (strcmp(how, "status") == 0) return 42;
  if (strcmp(how, "sleep") == 0) sleep_in_the_module(5000);
  if (strcmp(how, "nap") == 0) sleep_in_the_module(600);
  if (strcmp(how, "spin") == 0) spin_in_the_module();
  if (strcmp(how, "begun") == 0) {
    say(request, "half\n");
    fpm_flush(request);
    spin_in_the_module();
  }
  if (strcmp(how, "buffered") == 0) {
    say(request, "half\n");
    spin_in_the_module();
  }
  if (strcmp(how, "system") == 0) return system("sleep 1000; true") == 0 ? say(request, "slept\n") : -1;
  if (strcmp(how, "blocked") == 0) {
    block_all_signals();
    spin_in_the_module();
  }
  if (strcmp(how, "finish") == 0) {
    say(request, "done\n");
    fpm_finish(request);
    sleep_in_the_module(1500);
    fpm_log(request, FPM_NOTICE, "worked on");
    return 0;
  }
  if (strcmp(how, "leak") == 0) {
    static char *volatile leaked;
    leaked = malloc(32 << 20);
    memset(leaked, 1, 32 << 20);
    return say(request, "leaked\n");
  }
  if (strcmp(how, "gone") == 0) {
    for (int i = 0; i < 3000 && !fpm_client_gone(request); ++i) sleep_in_the_module(1);
    fpm_log(request, FPM_NOTICE, fpm_client_gone(request) ? "it has gone" : "it has not gone");
    return 0;
  }
  if (strcmp(how, "body") == 0) { /* by turns a piece where it lies and a copy; what was lent is not seen again */
    unsigned long lent = 0, copied = 0, sum = 0;
    char piece[1000];
    for (ptrdiff_t got = 1; got > 0;) {
      const fpm_text here = fpm_body(request);
      if (here.data == NULL) return -1;
      for (size_t i = 0; i < here.size; ++i) sum += (unsigned char)here.data[i];
      lent += here.size;
      got = fpm_read(request, piece, sizeof piece);
      for (ptrdiff_t i = 0; i < got; ++i) sum += (unsigned char)piece[i];
      copied += got > 0 ? (unsigned long)got : 0;
    }
    char text[96];
    snprintf(text, sizeof text, "%lu %d %lu\n", lent + copied, copied > 0, sum);
    return say(request, text);
  }
  if (strcmp(how, "headers") == 0) {
    char text[64];
    const int results[] = {fpm_header(request, "X-Bad\r\nX", "1"), fpm_header(request, "X", "1\n2"),
                           fpm_header(request, "Status", "200"), fpm_status(request, 99, NULL),
                           fpm_status(request, 418, "A\nB"), fpm_status(request, 418, "Teapot")};
    snprintf(text, sizeof text, "%d %d %d %d %d %d\n", results[0], results[1], results[2], results[3],
             results[4], results[5]);
    return say(request, text);
  }
  if (strncmp(how, "env-", 4) == 0) return say(request, getenv(how + 4) ? getenv(how + 4) : "(none)");
  if (strcmp(how, "stack") == 0) {
    char text[64];
    snprintf(text, sizeof text, "loads %d starts %d tid %d\n", loads, workers_before,
             getpid() == (pid_t)syscall(SYS_gettid));
    return say(request, text);
  }
  return say(request, "hello\n");
}

const struct fpm_module fpm_module = {
    FPM_MODULE_HEAD, .name = "naughty", .load = load, .start = start, .handle = handle};
