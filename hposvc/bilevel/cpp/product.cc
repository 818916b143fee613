// activation(z + bias) @ weight: rows z (in0), bias (in1) and weight (in2) to out0. Follows transposed.cc.
(void)"kernel: hidden layer, forward";
#pragma omp parallel num_threads(threads)
{
  std::vector<T> activations(h);
  T* __restrict__ a = activations.data();
  #pragma omp for schedule(static)
  for (int64 i = 0; i < n; i++) {
    const T* __restrict__ z = in0_p + i * h; ALONG
    for (int64 j = 0; j < h; j++) {
      const T x = ENTRY;
      T y; VALUE
      a[j] = y;
    }
    dot_with_columns(a, columns.data(), out0_p + i * k, h, k);
  }
}
