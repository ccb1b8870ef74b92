/* A module that never comes back from loading: it speaks for the template itself, and names whatever
 * process the file of module.option[names] says as a new worker. */
#include <fpm/module.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

static int channel(void) { /* the first SOCK_SEQPACKET socket */
  for (int fd = 3; fd < 256; ++fd) {
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET) return fd;
  }
  return -1;
}

static int load(const fpm_setup *setup, void **module) {
  const int fd = channel();
  uint32_t loaded[] = {0x46505432, 1, 0, 0, 0};
  (void)module;
  if (fd < 0) return -1;
  send(fd, loaded, sizeof loaded, 0);
  for (;;) {
    uint32_t order[3];
    uint32_t started[] = {0x46505432, 2, 0, 0, 0};
    if (recv(fd, order, sizeof order, 0) <= 0) _exit(0);
    FILE *file;
    int pid = 0;
    while ((file = fopen(setup->option(setup, "names"), "r")) == NULL) usleep(1000);
    if (fscanf(file, "%d", &pid) != 1) pid = 0;
    fclose(file);
    started[2] = order[1];
    started[3] = (uint32_t)pid;
    send(fd, started, sizeof started, 0);
  }
}

static int handle(fpm_request *request, void *worker) {
  (void)worker;
  return fpm_write(request, "never", 5);
}

const struct fpm_module fpm_module = {
    FPM_MODULE_HEAD, .name = "hostile", .load = load, .handle = handle};
