// Touches some memory and gives it back: warm MEBIBYTES. On a virtual machine freed page cache may have gone back to the host,
// and whoever writes first pays for getting it again; so every measured run begins after this.
#include <stdlib.h>
#include <sys/mman.h>

int main(int count, char **argument) {
  size_t bytes = count > 1 ? (size_t)atol(argument[1]) << 20 : 0;
  volatile char *memory = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  for (size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
  return 0;
}
