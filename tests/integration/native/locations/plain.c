#include <stdio.h>

static inline int clamp(int value, int low, int high) {
  if (value < low) return low;
  return value > high ? high : value;
}

static int nested_calls(int argument) {
  int sum = 0;
  for (int i = 0; i < argument; ++i) sum += clamp(i * argument, 3, clamp(argument, 5, 50));
  return sum;
}

__attribute__((noinline)) static int split(int argument) {
  if (__builtin_expect(argument > 1000, 0)) {
    printf("large: %d\n", nested_calls(argument));
    return clamp(argument, 0, 7);
  }
  return argument + 1;
}

int never_called(int argument) { return nested_calls(argument) + 5; }

int plain_entry(int argument) { return split(argument) + nested_calls(argument); }
