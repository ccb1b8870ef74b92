// The floor of a PHP worker's life: a process that has loaded PHP with its extensions forks children
// that end at once.
//
//     forked COUNT PHP_INI       (extensions: PHP_INI_SCAN_DIR)
//
// Prints microseconds of CPU time a child, the parent's share included.
#include <sapi/embed/php_embed.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static double used_us(int who) {
  struct rusage usage;
  getrusage(who, &usage);
  return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
         (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

int main(int argc, char** argv) {
  if (argc < 3) return 64;
  php_embed_module.php_ini_path_override = argv[2];
  if (php_embed_init(1, argv) != SUCCESS) return 1;
  const int count = atoi(argv[1]);
  const double before = used_us(RUSAGE_SELF) + used_us(RUSAGE_CHILDREN);
  for (int i = 0; i < count; ++i) {
    const pid_t child = fork();
    if (child == 0) _exit(0);
    if (child < 0 || waitpid(child, NULL, 0) != child) return 1;
  }
  printf("%.1f\n", (used_us(RUSAGE_SELF) + used_us(RUSAGE_CHILDREN) - before) / count);
  fflush(stdout);
  _exit(0);
}
