// CUDA's device side for g++: one thread after the other, or fibers where a kernel waits for its block.
#pragma once
#include <cuda_runtime.h>
#include <ucontext.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>
#undef __shared__
#define __shared__ static
#undef __launch_bounds__
#define __launch_bounds__(...)
extern "C" {
void stand_in_open();
void stand_in_close();
void stand_in_launched(const char*);
}
namespace stand_in {
inline thread_local uint3 tid, bid;
inline thread_local dim3 bdim, gdim;
struct Fiber {
  ucontext_t ctx;
  std::vector<char> stack;
  bool done;
};
inline thread_local std::vector<Fiber> pool;  // kept from block to block: stacks are large
inline thread_local ucontext_t home;
inline thread_local std::vector<Fiber>* fibers;
inline thread_local size_t current;
inline thread_local const std::function<void()>* body;
inline void enter() {
  (*body)();
  (*fibers)[current].done = true;
  swapcontext(&(*fibers)[current].ctx, &home);
}
inline void wait() {
  if (fibers)
    swapcontext(&(*fibers)[current].ctx, &home);
  else {
    fprintf(stderr, "stand-in: __syncthreads outside fibers\n");
    abort();
  }
}
inline void block(const std::function<void()>& f, bool waits) {
  const unsigned n = bdim.x * bdim.y * bdim.z;
  auto place = [](unsigned t) {
    tid.x = t % bdim.x;
    tid.y = t / bdim.x % bdim.y;
    tid.z = t / (bdim.x * bdim.y);
  };
  if (!waits) {
    for (unsigned t = 0; t < n; t++) {
      place(t);
      f();
    }
    return;
  }
  auto& all = pool;
  if (all.size() < n) all.resize(n);
  fibers = &all;
  body = &f;
  for (unsigned t = 0; t < n; t++) {
    auto& one = all[t];
    if (one.stack.empty()) one.stack.resize(65536);
    one.done = false;
    getcontext(&one.ctx);
    one.ctx.uc_stack.ss_sp = one.stack.data();
    one.ctx.uc_stack.ss_size = one.stack.size();
    one.ctx.uc_link = nullptr;
    makecontext(&one.ctx, enter, 0);
  }
  for (bool any = true; any;) {
    any = false;
    for (current = 0; current < n; current++)
      if (!all[current].done) {
        any = true;
        place(current);
        swapcontext(&home, &all[current].ctx);
      }
  }
  fibers = nullptr;
}
template <class F>
void launch(const char* name, bool waits, dim3 g, dim3 b, F f) {
  if (!g.x || !g.y || !g.z || !b.x || (size_t)b.x * b.y * b.z > 1024 || g.y > 65535 || g.z > 65535) {
    fprintf(stderr, "stand-in: bad launch of %s\n", name);
    abort();
  }
  stand_in_launched(name);
  stand_in_open();
  bdim = b;
  gdim = g;
  std::function<void()> once = f;
  for (bid.z = 0; bid.z < g.z; bid.z++)
    for (bid.y = 0; bid.y < g.y; bid.y++)
      for (bid.x = 0; bid.x < g.x; bid.x++) block(once, waits);
  stand_in_close();
}
template <class... A>
struct Config {
  dim3 g, b;
  Config(dim3 g, dim3 b, size_t = 0, cudaStream_t = 0) : g(g), b(b) {}
};
}  // namespace stand_in
#define threadIdx stand_in::tid
#define blockIdx stand_in::bid
#define blockDim stand_in::bdim
#define gridDim stand_in::gdim
inline void __syncthreads() { stand_in::wait(); }
inline void __threadfence() {}
template <class T>
T atomicAdd(T* p, T v) {
  T o = *p;
  *p = o + v;
  return o;
}
inline float atomicAdd(float* p, double v) {
  float o = *p;
  *p = o + (float)v;
  return o;
}
template <class T>
T atomicMax(T* p, T v) {
  T o = *p;
  if (v > o) *p = v;
  return o;
}
template <class T>
T atomicMin(T* p, T v) {
  T o = *p;
  if (v < o) *p = v;
  return o;
}
template <class T>
T atomicAnd(T* p, T v) {
  T o = *p;
  *p = o & v;
  return o;
}
template <class T>
T atomicOr(T* p, T v) {
  T o = *p;
  *p = o | v;
  return o;
}
template <class T>
T atomicXor(T* p, T v) {
  T o = *p;
  *p = o ^ v;
  return o;
}
template <class T>
T atomicCAS(T* p, T c, T v) {
  T o = *p;
  if (o == c) *p = v;
  return o;
}
inline int __float_as_int(float x) {
  int i;
  memcpy(&i, &x, 4);
  return i;
}
inline float __int_as_float(int i) {
  float x;
  memcpy(&x, &i, 4);
  return x;
}
inline long long __double_as_longlong(double x) {
  long long i;
  memcpy(&i, &x, 8);
  return i;
}
inline double __longlong_as_double(long long i) {
  double x;
  memcpy(&x, &i, 8);
  return x;
}
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline float max(float a, float b) { return fmaxf(a, b); }
inline float min(float a, float b) { return fminf(a, b); }
inline double max(double a, double b) { return fmax(a, b); }
inline double min(double a, double b) { return fmin(a, b); }
