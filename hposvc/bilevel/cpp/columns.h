// Products of a row with a matrix whose columns lie one after the other.
#include <omp.h>
#include <algorithm>
#include <cmath>
#include <vector>

// Four columns at a time: what all of them share is loaded once, and no sum waits for the one before.
template <class T> void dot_with_columns(const T* a, const T* columns, T* out, int64_t h, int64_t k) {
  int64_t c = 0;
  for (; c + 4 <= k; c += 4) {
    const T *w0 = columns + c * h, *w1 = w0 + h, *w2 = w1 + h, *w3 = w2 + h;
    T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int64_t j = 0; j < h; j++) {
      s0 += a[j] * w0[j]; s1 += a[j] * w1[j]; s2 += a[j] * w2[j]; s3 += a[j] * w3[j];
    }
    out[c] = s0; out[c + 1] = s1; out[c + 2] = s2; out[c + 3] = s3;
  }
  for (; c < k; c++) {
    T sum = 0;
    for (int64_t j = 0; j < h; j++) sum += a[j] * columns[c * h + j];
    out[c] = sum;
  }
}

template <class T> void combine_columns(const T* g, const T* columns, T* __restrict__ out, int64_t h, int64_t k) {
  for (int64_t j = 0; j < h; j++) out[j] = 0;
  int64_t c = 0;
  for (; c + 4 <= k; c += 4) {
    const T *w0 = columns + c * h, *w1 = w0 + h, *w2 = w1 + h, *w3 = w2 + h;
    const T g0 = g[c], g1 = g[c + 1], g2 = g[c + 2], g3 = g[c + 3];
    for (int64_t j = 0; j < h; j++) out[j] += g0 * w0[j] + g1 * w1[j] + g2 * w2[j] + g3 * w3[j];
  }
  for (; c < k; c++)
    for (int64_t j = 0; j < h; j++) out[j] += g[c] * columns[c * h + j];
}
