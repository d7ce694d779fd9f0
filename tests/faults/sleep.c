/* libfaketime 0.9.10 refuses the absolute sleeps of Python's time.sleep when it leaves the monotonic clock alone. Loaded
   before it, this has the kernel sleep: the monotonic clock is the real one. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *until, struct timespec *left) {
  return syscall(SYS_clock_nanosleep, clock, flags, until, left) ? errno : 0;
}
