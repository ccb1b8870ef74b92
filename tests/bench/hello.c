// What a user of libfcgi writes. `hello WORKERS` forks as many, without it one process serves.
// A query `big` is answered with 1 MB; a body is read to its end.
#include <fcgiapp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static char buffer[65536];

static void answer(FCGX_Request* request) {
  const char* const query = FCGX_GetParam("QUERY_STRING", request->envp);
  while (FCGX_GetStr(buffer, sizeof buffer, request->in) > 0) {
  }
  FCGX_PutS("Content-Type: text/plain\r\n\r\n", request->out);
  if (query == NULL || strcmp(query, "big") != 0) {
    FCGX_PutS("hello", request->out);
    return;
  }
  for (int i = 0; i < 16; ++i) FCGX_PutStr(buffer, sizeof buffer, request->out);
}

int main(int argc, char** argv) {
  for (int i = 0; argc > 1 && i < atoi(argv[1]); ++i) {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      argc = 1;
    }
  }
  if (argc > 1) {
    while (wait(NULL) > 0) {
    }
    return 0;
  }
  FCGX_Request request;
  FCGX_Init();
  FCGX_InitRequest(&request, 0, 0);
  while (FCGX_Accept_r(&request) == 0) answer(&request);
  return 0;
}
