// A stand-in for libcuda, the driver, as far as Jittor's query and hposvc look.
#include <stdlib.h>
#include <string.h>
static int devices(void) {
  const char* s = getenv("CUDA_STAND_IN_DEVICES");
  const int all = s ? atoi(s) : 1;
  const char* visible = getenv("CUDA_VISIBLE_DEVICES");
  if (!visible) return all;
  int named = *visible != 0;
  for (; *visible; visible++) named += *visible == ',';
  return named < all ? named : all;
}
static int arch(void) {
  const char* s = getenv("CUDA_STAND_IN_ARCH");
  return s ? atoi(s) : 90;
}
extern "C" int cuInit(unsigned f) { return devices() ? 0 : 100; }
extern "C" int cuDriverGetVersion(int* v) {
  *v = 13000;
  return 0;
}
extern "C" int cuDeviceGetCount(int* n) {
  *n = devices();
  return 0;
}
extern "C" int cuDeviceGet(int* d, int i) {
  *d = i;
  return 0;
}
extern "C" int cuDeviceGetAttribute(int* v, int a, int d) {
  *v = a == 75 ? arch() / 10 : a == 76 ? arch() % 10 : 0;
  return 0;
}
extern "C" int cuDeviceTotalMem_v2(size_t* n, int d) {
  *n = 80ull << 30;
  return 0;
}
