// Derivatives of what cross_entropy_backward.cu computes, as in cpp/cross_entropy_second.cc; out3 holds the sums of parts.
// A block takes a part of the rows: a thread for each row, and then a thread for each column.
template <class T, class L>
__global__ void cross_entropy_second(const T* __restrict__ in0_p, const T* __restrict__ in1_p,
                                     const L* __restrict__ in2_p, const T* __restrict__ in3_p,
                                     const T* __restrict__ in4_p, const T* __restrict__ in5_p,
                                     PARAMETERS T* out0_p, T* __restrict__ out1_p, T* __restrict__ out2_p, T* held,
                                     Index n, Index h) {
  const Index first = Index(blockIdx.x) * ROWS, last = first + ROWS < n ? first + ROWS : n;
  const Index i = first + threadIdx.x;
  if (i < last) {
    const T* z = in0_p + i * h;
    ALONG
    const T own = in4_p[i * h + in2_p[i]] + in5_p[in2_p[i]];
    T top = 0, sum = 0, q = 0;
    for (Index j = 0; j < h; j++) {
      const T x = ENTRY;
      if (j == 0 || x > top) top = x;
    }
    for (Index j = 0; j < h; j++) {
      const T e = exp(ENTRY - top);
      out0_p[i * h + j] = e;
      sum += e;
      q += e * (in4_p[i * h + j] + in5_p[j] - own);
    }
    q /= sum;
    const T scale = in3_p[i] / sum;
    for (Index j = 0; j < h; j++) out0_p[i * h + j] *= scale * (in4_p[i * h + j] + in5_p[j] - own - q);
    out2_p[i] = q;
  }
  __syncthreads();
  sum_columns(out0_p, held, out1_p, first, last, h);
}
// launches
const Index n = in0_shape0, h = in0_shape1, parts = (n + ROWS - 1) / ROWS;
cross_entropy_second<<<parts, ROWS>>>(in0_p, in1_p, in2_p, in3_p, in4_p, in5_p, ARGUMENTS out0_p, out1_p, out2_p, out3_p,
                                      n, h);
if (parts > FEW_PARTS) sum_parts<<<h, 256>>>(out3_p, out1_p, parts, h);
