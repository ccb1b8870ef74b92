// The bench's client: sends the same request again and again, one connection each, and tells times.
//
//     client SOCKET REQUEST CLIENTS TOTAL EXPECTED
//
// CLIENTS requests are under way at once until TOTAL are done. REQUEST is a file with the bytes to
// send, EXPECTED a text that every right answer has in it. Prints one JSON object; times are
// milliseconds, each request's from before its connect to the end of its connection.
// One process and one thread: it must not take more of the machine than it has to.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { kMostRequestBytes = 65536, kMostAnswerBytes = 16384 };

struct Client {
  int fd;
  double began;
  size_t length;
  char answer[kMostAnswerBytes];
};

static struct sockaddr_un address = {.sun_family = AF_UNIX};
static char request[kMostRequestBytes];
static size_t request_length;
static const char* expected;
static double* times;
static int begun, done, right, reset, total, set;

static double now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void give_up(const char* what) {
  perror(what);
  exit(1);
}

// Blocks while the server's queue is full, as long as others of our clients are in it.
static void begin(struct Client* client) {
  ++begun;
  client->began = now_ms();
  client->length = 0;
  client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (client->fd < 0) give_up("socket");
  if (connect(client->fd, (struct sockaddr*)&address, sizeof address) < 0) give_up("connect");
  if (send(client->fd, request, request_length, MSG_NOSIGNAL) != (ssize_t)request_length) {
    give_up("send");
  }
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
  if (epoll_ctl(set, EPOLL_CTL_ADD, client->fd, &event) < 0) give_up("epoll_ctl");
}

static void finish(struct Client* client) {
  times[done++] = now_ms() - client->began;
  if (memmem(client->answer, client->length, expected, strlen(expected)) != NULL) ++right;
  close(client->fd);
  if (begun < total) begin(client);
}

static void follow(struct Client* client) {
  char rest[kMostAnswerBytes];  // of an answer that is longer than what is looked at
  const size_t space = kMostAnswerBytes - client->length;
  const ssize_t got = space > 0 ? recv(client->fd, client->answer + client->length, space, 0)
                                : recv(client->fd, rest, sizeof rest, 0);
  if (got > 0 && space > 0) client->length += (size_t)got;
  if (got > 0) return;
  if (got < 0) ++reset;
  finish(client);
}

static int smaller(const void* left, const void* right_one) {
  const double difference = *(const double*)left - *(const double*)right_one;
  return (difference > 0) - (difference < 0);
}

static void read_request(const char* name) {
  FILE* file = fopen(name, "rb");
  if (file == NULL) give_up(name);
  request_length = fread(request, 1, sizeof request, file);
  fclose(file);
}

int main(int argc, char** argv) {
  if (argc != 6) {
    fputs("usage: client SOCKET REQUEST CLIENTS TOTAL EXPECTED\n", stderr);
    return 64;
  }
  strncpy(address.sun_path, argv[1], sizeof address.sun_path - 1);
  read_request(argv[2]);
  const int clients = atoi(argv[3]);
  total = atoi(argv[4]);
  expected = argv[5];
  times = calloc((size_t)total, sizeof *times);
  struct Client* all = calloc((size_t)clients, sizeof *all);
  set = epoll_create1(EPOLL_CLOEXEC);
  if (times == NULL || all == NULL || set < 0) give_up("start");

  const double start = now_ms();
  for (int i = 0; i < clients && i < total; ++i) begin(&all[i]);
  while (done < total) {
    struct epoll_event events[64];
    const int count = epoll_wait(set, events, 64, 60000);
    if (count == 0) errno = ETIMEDOUT;
    if (count <= 0) give_up("no answer");
    for (int i = 0; i < count; ++i) follow(events[i].data.ptr);
  }
  const double wall = now_ms() - start;

  qsort(times, (size_t)total, sizeof *times, smaller);
  printf("{\"wall\": %.3f, \"right\": %d, \"reset\": %d, \"median\": %.4f, \"p99\": %.4f, "
         "\"longest\": %.4f}\n",
         wall, right, reset, times[total / 2], times[total * 99 / 100], times[total - 1]);
  return 0;
}
