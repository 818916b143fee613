// A stand-in for libcudart: one pretended device, its memory apart from the host's, launches counted.
#include <cuda_runtime_api.h>
#include <sys/mman.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>
#define X extern "C" __attribute__((visibility("default")))

static const size_t ARENA = 64ull << 30;
static char* arena;
static size_t top;
static int depth;
static std::map<size_t, std::vector<char*>> spare;
static std::map<char*, size_t> live;
static long launches, syncs, h2d, d2h, d2d, mallocs;
static size_t h2d_b, d2h_b, d2d_b;
static std::map<std::string, long> by_name;
static std::map<const void*, std::string> names;
static cudaError_t last;

static void init() {
  if (arena) return;
  arena = (char*)mmap(nullptr, ARENA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (arena == MAP_FAILED) {
    perror("arena");
    abort();
  }
}
X void stand_in_open() {
  if (depth++ == 0 && top) mprotect(arena, top, PROT_READ | PROT_WRITE);
}
X void stand_in_close() {
  if (--depth == 0 && top) mprotect(arena, top, PROT_NONE);
}
static size_t memory() {  // of the device, in bytes
  const char* s = getenv("CUDA_STAND_IN_MEMORY");
  return s ? strtoull(s, nullptr, 10) : ARENA;
}
static bool on_device(const void* p) { return arena && p >= arena && p < arena + ARENA; }
X void stand_in_launched(const char* name) {
  launches++;
  by_name[name]++;
}
X void stand_in_counts(long* out) {
  long v[] = {launches, syncs, h2d, d2h, d2d, mallocs, (long)h2d_b, (long)d2h_b, (long)d2d_b};
  memcpy(out, v, sizeof v);
}
X void stand_in_report() {
  for (auto& kv : by_name) fprintf(stderr, "stand-in %6ld %s\n", kv.second, kv.first.c_str());
  by_name.clear();
}

static cudaError_t set(cudaError_t e) {
  if (e) last = e;
  return e;
}
X cudaError_t cudaGetDeviceCount(int* n) {
  init();
  const char* s = getenv("CUDA_STAND_IN_DEVICES");
  *n = s ? atoi(s) : 1;
  return *n ? cudaSuccess : set(cudaErrorNoDevice);
}
X cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int) {
  memset(p, 0, sizeof *p);
  strcpy(p->name, "stand-in");
  const char* s = getenv("CUDA_STAND_IN_ARCH");
  int a = s ? atoi(s) : 90;
  p->major = a / 10;
  p->minor = a % 10;
  p->multiProcessorCount = 132;
  p->totalGlobalMem = memory();
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  return cudaSuccess;
}
X cudaError_t cudaSetDevice(int) { return cudaSuccess; }
X cudaError_t cudaGetDevice(int* d) {
  *d = 0;
  return cudaSuccess;
}
X cudaError_t cudaDeviceSynchronize() {
  syncs++;
  return cudaSuccess;
}
X cudaError_t cudaStreamCreateWithFlags(cudaStream_t* s, unsigned) {
  *s = (cudaStream_t)1;
  return cudaSuccess;
}
X cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
X cudaError_t cudaStreamSynchronize(cudaStream_t) {
  syncs++;
  return cudaSuccess;
}
X cudaError_t cudaStreamWaitEvent(cudaStream_t, cudaEvent_t, unsigned) { return cudaSuccess; }
X cudaError_t cudaEventCreate(cudaEvent_t* e) {
  *e = (cudaEvent_t)1;
  return cudaSuccess;
}
X cudaError_t cudaEventCreateWithFlags(cudaEvent_t* e, unsigned) {
  *e = (cudaEvent_t)1;
  return cudaSuccess;
}
X cudaError_t cudaEventDestroy(cudaEvent_t) { return cudaSuccess; }
X cudaError_t cudaEventRecord(cudaEvent_t, cudaStream_t) { return cudaSuccess; }
X cudaError_t cudaEventSynchronize(cudaEvent_t) { return cudaSuccess; }
X cudaError_t cudaEventElapsedTime(float* t, cudaEvent_t, cudaEvent_t) {
  *t = 0;
  return cudaSuccess;
}
X cudaError_t cudaEventElapsedTime_v2(float* t, cudaEvent_t, cudaEvent_t) {
  *t = 0;
  return cudaSuccess;
}
X cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t f, void* d) {
  f(d);
  return cudaSuccess;
}
X cudaError_t cudaMemGetInfo(size_t* f, size_t* t) {
  *t = memory();
  *f = *t - top;
  return cudaSuccess;
}

X cudaError_t cudaMalloc(void** p, size_t n) {
  init();
  mallocs++;
  size_t size = (n + 4095) & ~size_t(4095);
  auto& list = spare[size];
  char* at;
  if (list.size()) {
    at = list.back();
    list.pop_back();
  } else {
    if (top + size > memory()) return set(cudaErrorMemoryAllocation);
    at = arena + top;
    top += size;
    if (depth) mprotect(at, size, PROT_READ | PROT_WRITE);
  }
  live[at] = size;
  stand_in_open();
  memset(at, 0xff, n);
  stand_in_close();  // NaN: nobody may count on zeros
  *p = at;
  return cudaSuccess;
}
X cudaError_t cudaFree(void* p) {
  if (!p) return cudaSuccess;
  auto i = live.find((char*)p);
  if (i == live.end()) return set(cudaErrorInvalidValue);
  spare[i->second].push_back(i->first);
  live.erase(i);
  return cudaSuccess;
}
X cudaError_t cudaMallocManaged(void** p, size_t n, unsigned) {
  *p = aligned_alloc(256, (n + 255) / 256 * 256);
  return cudaSuccess;
}
X cudaError_t cudaMallocHost(void** p, size_t n) {
  *p = aligned_alloc(256, (n + 255) / 256 * 256);
  return cudaSuccess;
}
X cudaError_t cudaHostAlloc(void** p, size_t n, unsigned) { return cudaMallocHost(p, n); }
X cudaError_t cudaFreeHost(void* p) {
  free(p);
  return cudaSuccess;
}
X cudaError_t cudaMemset(void* p, int v, size_t n) {
  if (!on_device(p)) return set(cudaErrorInvalidValue);
  stand_in_open();
  memset(p, v, n);
  stand_in_close();
  return cudaSuccess;
}
X cudaError_t cudaMemsetAsync(void* p, int v, size_t n, cudaStream_t) { return cudaMemset(p, v, n); }
X cudaError_t cudaMemcpy(void* to, const void* from, size_t n, cudaMemcpyKind kind) {
  bool a = on_device(to), b = on_device(from);
  if ((kind == cudaMemcpyHostToDevice && (!a || b)) || (kind == cudaMemcpyDeviceToHost && (a || !b)) ||
      (kind == cudaMemcpyDeviceToDevice && !(a && b))) {
    fprintf(stderr, "stand-in: cudaMemcpy kind %d, to device %d, from device %d\n", kind, a, b);
    return set(cudaErrorInvalidValue);
  }
  if (a && b)
    d2d++, d2d_b += n;
  else if (a)
    h2d++, h2d_b += n;
  else if (b)
    d2h++, d2h_b += n;
  stand_in_open();
  memcpy(to, from, n);
  stand_in_close();
  return cudaSuccess;
}
X cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t n, cudaMemcpyKind kind, cudaStream_t) {
  return cudaMemcpy(to, from, n, kind);
}
X cudaError_t cudaGetLastError() {
  auto e = last;
  last = cudaSuccess;
  return e;
}
X cudaError_t cudaPeekAtLastError() { return last; }
X const char* cudaGetErrorName(cudaError_t e) {
  return e == 0 ? "cudaSuccess" : e == 2 ? "cudaErrorMemoryAllocation" : e == 1 ? "cudaErrorInvalidValue" : "cudaError";
}
X const char* cudaGetErrorString(cudaError_t e) { return cudaGetErrorName(e); }
X cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* a, const void*) {
  memset(a, 0, sizeof *a);
  a->ptxVersion = 90;
  a->binaryVersion = 90;
  a->maxThreadsPerBlock = 1024;
  return cudaSuccess;
}
X cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute, int) { return cudaSuccess; }
X cudaError_t cudaDeviceGetAttribute(int* v, cudaDeviceAttr a, int) {
  const char* s = getenv("CUDA_STAND_IN_ARCH");
  int arch = s ? atoi(s) : 90;
  *v = a == cudaDevAttrMultiProcessorCount       ? 132
       : a == cudaDevAttrComputeCapabilityMajor  ? arch / 10
       : a == cudaDevAttrComputeCapabilityMinor  ? arch % 10
       : a == cudaDevAttrMaxSharedMemoryPerBlock ? 49152
       : a == cudaDevAttrWarpSize                ? 32
                                                 : 1024;
  return cudaSuccess;
}
X cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* n, const void*, int, size_t, unsigned) {
  *n = 2;
  return cudaSuccess;
}
X cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* n, const void*, int, size_t) {
  *n = 2;
  return cudaSuccess;
}

// What nvcc's host code calls: launches are counted and not run.
struct Config {
  dim3 g, b;
  size_t s;
  cudaStream_t st;
};
static std::vector<Config> configs;
X void** __cudaRegisterFatBinary(void* f) {
  static void* h;
  h = f;
  return &h;
}
X void __cudaRegisterFatBinaryEnd(void**) {}
X void __cudaUnregisterFatBinary(void**) {}
X void __cudaRegisterFunction(void**, const char* host, char*, const char* name, int, uint3*, uint3*, dim3*, dim3*,
                              int*) {
  names[host] = name;
}
X void __cudaRegisterVar(void**, char*, char*, const char*, int, size_t, int, int) {}
X char __cudaInitModule(void**) { return 1; }
X unsigned __cudaPushCallConfiguration(dim3 g, dim3 b, size_t s, cudaStream_t st) {
  configs.push_back({g, b, s, st});
  return 0;
}
X cudaError_t __cudaPopCallConfiguration(dim3* g, dim3* b, size_t* s, void* st) {
  auto c = configs.back();
  configs.pop_back();
  *g = c.g;
  *b = c.b;
  *s = c.s;
  *(cudaStream_t*)st = c.st;
  return cudaSuccess;
}
X cudaError_t __cudaGetKernel(cudaKernel_t* k, const void* f) {
  *k = (cudaKernel_t)f;
  return cudaSuccess;
}
static cudaError_t launch(const void* f, dim3 g, dim3 b) {
  if (!g.x || !g.y || !g.z || !b.x || (size_t)b.x * b.y * b.z > 1024 || g.y > 65535 || g.z > 65535) {
    fprintf(stderr, "stand-in: bad launch %u %u %u x %u %u %u\n", g.x, g.y, g.z, b.x, b.y, b.z);
    return set(cudaErrorInvalidConfiguration);
  }
  stand_in_launched(names.count(f) ? names[f].c_str() : "?");
  return cudaSuccess;
}
X cudaError_t __cudaLaunchKernel(cudaKernel_t k, dim3 g, dim3 b, void**, size_t, cudaStream_t) {
  return launch((const void*)k, g, b);
}
X cudaError_t __cudaLaunchKernel_ptsz(cudaKernel_t k, dim3 g, dim3 b, void**, size_t, cudaStream_t) {
  return launch((const void*)k, g, b);
}
X cudaError_t cudaLaunchKernel(const void* f, dim3 g, dim3 b, void**, size_t, cudaStream_t) { return launch(f, g, b); }
X cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* f, void**) {
  return launch(f, c->gridDim, c->blockDim);
}
X cudaError_t cudaGetDriverEntryPoint(const char*, void** p, unsigned long long, cudaDriverEntryPointQueryResult* r) {
  *p = nullptr;
  return cudaErrorNotSupported;
}
