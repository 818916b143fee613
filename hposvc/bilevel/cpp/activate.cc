// activation(z + bias): rows z (in0) and bias (in1) to out0.
(void)"kernel: hidden layer, forward";
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 i = 0; i < n; i++) {
  const T* __restrict__ z = in0_p + i * h; ALONG
  T* __restrict__ a = out0_p + i * h;
  for (int64 j = 0; j < h; j++) {
    const T x = ENTRY;
    T y; VALUE
    a[j] = y;
  }
}
