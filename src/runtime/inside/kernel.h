/* The kernel's own calls, and where a program begins without a C library. */

#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, NANOSLEEP = 35, SOCKET = 41, CONNECT = 42, GETSOCKNAME = 51, EXECVE = 59, EXIT = 60 };
enum { CLOCK_GETTIME = 228 };
__asm__(".globl _start\n_start: mov %rsp, %rdi\n and $-16, %rsp\n call begin\n");
static long call(long number, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, EXIT = 93, NANOSLEEP = 101, CLOCK_GETTIME = 113 };
enum { SOCKET = 198, CONNECT = 203, GETSOCKNAME = 204, EXECVE = 221 };
__asm__(".globl _start\n_start: mov x0, sp\n bl begin\n");
static long call(long number, long a, long b, long c) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2) : "memory");
  return x0;
}
#endif

static inline void end(long code) {
  for (;;) call(EXIT, code, 0, 0);
}
