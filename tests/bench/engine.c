// The floor of any PHP worker: accept, one recv, PHP's own start, run and end of a request, one send, close.
//
//     engine ADDRESS WORKERS SCRIPT PHP_INI [kept]      (extensions: PHP_INI_SCAN_DIR)
//
// No parameter of the request is looked at, and no variable of it given to the script, whose output is
// less than 60 KB. Ends, with its workers, when its stdin does. Says "ready" on stdout when it listens.
#define _GNU_SOURCE
#include <sapi/embed/php_embed.h>
#include <signal.h>
#include <sys/prctl.h>

#include "listen.h"

static char answer[65536];
static size_t size;

static void append(const char* text, size_t length) {
  if (length > sizeof answer - size) _exit(1);
  memcpy(answer + size, text, length);
  size += length;
}

static size_t write_output(const char* text, size_t length) {
  append(text, length);
  return length;
}

static void flush_nothing(void* context) { (void)context; }

static int send_no_headers(sapi_headers_struct* headers) {
  (void)headers;
  return SAPI_HEADER_SENT_SUCCESSFULLY;
}

static int start_php(const char* ini) {
  static sapi_module_struct sapi;
  sapi = php_embed_module;
  sapi.name = "fpm-fcgi";  // opcache wants a name that it knows
  sapi.ub_write = write_output;
  sapi.flush = flush_nothing;
  sapi.send_headers = send_no_headers;
  sapi.php_ini_path_override = strdup(ini);
  zend_signal_startup();
  sapi_startup(&sapi);
  if (php_module_startup(&sapi, NULL) != SUCCESS) return 0;
  // As fpm does: no look at the signals, no timer for an input that is there.
  SIGG(reset) = 0;
  PG(max_input_time) = 0;
  return 1;
}

static void run(char* script) {
  zend_file_handle file;
  SG(server_context) = (void*)1;
  SG(request_info).request_method = "GET";
  SG(request_info).path_translated = estrdup(script);
  SG(sapi_headers).http_response_code = 200;
  if (php_request_startup() != SUCCESS) _exit(1);
  SG(options) |= SAPI_OPTION_NO_CHDIR;
  if (php_fopen_primary_script(&file) != SUCCESS) _exit(1);
  php_execute_script(&file);
  zend_destroy_file_handle(&file);
  efree(SG(request_info).path_translated);
  SG(request_info).path_translated = NULL;
  php_request_shutdown(NULL);
}

static void answer_with(char* script) {
  static const char begin[] = "\1\6\0\1\0\0\0\0Content-type: text/html; charset=UTF-8\r\n\r\n";
  size = 0;
  append(begin, sizeof begin - 1);
  run(script);
  const size_t content = size - 8;
  answer[4] = (char)(content >> 8);
  answer[5] = (char)content;
  append("\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0", 16);
}

static void serve(int listener, char* script, int kept) {
  static char request[262144];
  for (;;) {
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) _exit(1);
    while (recv(fd, request, sizeof request, 0) > 0) {
      answer_with(script);
      if (send(fd, answer, size, MSG_NOSIGNAL) < 0 || !kept) break;
    }
    close(fd);
  }
}

int main(int argc, char** argv) {
  if (argc < 5) return 64;
  const int listener = listen_at(argv[1]);
  if (!start_php(argv[4])) return 1;
  for (int i = 0; i < atoi(argv[2]); ++i) {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      serve(listener, argv[3], argc > 5);
    }
  }
  say_ready_and_wait(argv[1]);
  _exit(0);
}
