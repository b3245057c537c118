/*
 * Waits for its time and then becomes a command: what ends is started anew by whoever
 * runs containers, and waits for the next.
 *
 *     timer MINUTES:HOURS:DAYS:MONTHS:WEEKDAYS:EITHER COMMAND...
 *
 * Sets of numbers in hex, bit N for N; UTC. With EITHER not 0 a day of the month is enough,
 * or one of the week. A minute that has begun is never taken: it may have been used.
 */

#include "kernel.h"

enum { MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS, EITHER, FIELDS };
enum { PATH_SIZE = 4096 };

typedef unsigned long set;

static int has(set of, long number) { return of >> number & 1; }

static void read_sets(const char *text, set *sets) {
  for (int field = 0; field < FIELDS; field++) {
    for (sets[field] = 0; *text && *text != ':'; text++)
      sets[field] = sets[field] << 4 | (set)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
    if (*text) text++;
  }
}

/* Days since 1970 as a date: http://howardhinnant.github.io/date_algorithms.html#civil_from_days */
static int is_day(long days, const set *sets) {
  long z = days + 719468, era = z / 146097, doe = z - era * 146097;
  long yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  long doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
  int day = has(sets[DAYS], doy - (153 * mp + 2) / 5 + 1);
  int weekday = has(sets[WEEKDAYS], (days + 4) % 7);
  int fits = sets[EITHER] ? day || weekday : day && weekday;
  return fits && has(sets[MONTHS], mp < 10 ? mp + 3 : mp - 9);
}

static int is_time(long minute, const set *sets) {
  return has(sets[MINUTES], minute % 60) && has(sets[HOURS], minute / 60 % 24) &&
         is_day(minute / (60 * 24), sets);
}

/* As a shell finds a command: what has no slash is looked for in PATH. */
static void become(char **argv, char **env) {
  const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
  char whole[PATH_SIZE];
  for (const char *c = argv[0]; *c; c++)
    if (*c == '/') {
      call(EXECVE, (long)argv[0], (long)argv, (long)env);
      return;
    }
  for (char **one = env; *one; one++)
    if ((*one)[0] == 'P' && (*one)[1] == 'A' && (*one)[2] == 'T' && (*one)[3] == 'H' && (*one)[4] == '=')
      path = *one + 5;
  while (*path) {
    int length = 0;
    while (*path && *path != ':' && length < PATH_SIZE / 2) whole[length++] = *path++;
    if (*path) path++;
    whole[length++] = '/';
    for (const char *c = argv[0]; *c && length < PATH_SIZE - 1; c++) whole[length++] = *c;
    whole[length] = 0;
    call(EXECVE, (long)whole, (long)argv, (long)env);
  }
}

void begin(long *stack) {
  char **argv = (char **)(stack + 1);
  char **env = argv + stack[0] + 1;
  set sets[FIELDS];
  long now[2], rest[2];
  if (stack[0] < 3) end(2);
  read_sets(argv[1], sets);
  call(CLOCK_GETTIME, 0, (long)now, 0);
  for (long minute = now[0] / 60 + 1;; minute++) {
    for (;;) {
      call(CLOCK_GETTIME, 0, (long)now, 0);
      if (now[0] >= minute * 60) break;
      rest[0] = minute * 60 - now[0];
      rest[1] = 0;
      call(NANOSLEEP, (long)rest, 0, 0);
    }
    /* What slept through minutes, as a machine that was suspended, goes on from now. */
    if (now[0] / 60 > minute) minute = now[0] / 60;
    if (is_time(minute, sets)) break;
  }
  become(argv + 2, env);
  end(127);
}
