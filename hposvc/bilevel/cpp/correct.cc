// One where the first largest entry of z + bias (in0, in1) is that of the label (in2), and zero elsewhere.
(void)"kernel: accuracy";
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 i = 0; i < n; i++) {
  const T* __restrict__ z = in0_p + i * h;
  int64 best = 0;
  T top = z[0] + in1_p[0];
  for (int64 j = 1; j < h; j++) {
    const T x = ENTRY;
    if (x > top) { top = x; best = j; }
  }
  out0_p[i] = best == in2_p[i];
}
