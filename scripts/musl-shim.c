/*
 * What Debian's C++ library, built for glibc, asks of it, and Node built for musl of a newer C++ library. For tests alone.
 */
#define _GNU_SOURCE
#include <locale.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

char __libc_single_threaded = 0;

/* Not found: the unwinder asks dl_iterate_phdr(3) then. */
int _dl_find_object(void *address, void *result) { return -1; }

/* Objects of threads are not destroyed as their thread ends. */
int __cxa_thread_atexit_impl(void (*destroy)(void *), void *object, void *library) { return 0; }

uint32_t arc4random(void) {
  uint32_t number = 0;
  syscall(SYS_getrandom, &number, sizeof number, 0);
  return number;
}

size_t __strftime_l(char *text, size_t size, const char *format, const struct tm *time, locale_t locale) {
  return strftime_l(text, size, format, time, locale);
}

/* A processor of which nothing is known, for libgcc. */
struct { unsigned vendor, type, subtype, features[1]; } __cpu_model;
int __cpu_indicator_init(void) { return 0; }

/* std::string::_M_replace_cold(at, length, from, count, tail): puts `count` bytes in place of `length`, of which some may be the same. */
void _ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE15_M_replace_coldEPcmPKcmm(
    void *string, char *at, size_t length, const char *from, size_t count, size_t tail) {
  char copy[count + 1];
  memcpy(copy, from, count);
  if (tail && length != count) memmove(at + count, at + length, tail);
  memcpy(at, copy, count);
}
