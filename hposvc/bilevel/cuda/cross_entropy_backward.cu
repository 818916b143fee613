// From the gradient of the losses (in3) to that of z (out0) and of the bias (out1); out2 holds the sums of parts.
// A block takes a part of the rows: a thread for each row, and then a thread for each column.
template <class T, class L>
__global__ void cross_entropy_backward(const T* __restrict__ in0_p, const T* __restrict__ in1_p,
                                       const L* __restrict__ in2_p, const T* __restrict__ in3_p,
                                       PARAMETERS T* out0_p, T* __restrict__ out1_p, T* held, Index n, Index h) {
  const Index first = Index(blockIdx.x) * ROWS, last = first + ROWS < n ? first + ROWS : n;
  const Index i = first + threadIdx.x;
  if (i < last) {
    const T* z = in0_p + i * h;
    ALONG
    T top = 0, sum = 0;
    for (Index j = 0; j < h; j++) {
      const T x = ENTRY;
      if (j == 0 || x > top) top = x;
    }
    for (Index j = 0; j < h; j++) {
      const T e = exp(ENTRY - top);
      out0_p[i * h + j] = e;
      sum += e;
    }
    // minus the sum of the others: the own probability minus one is rounding alone where a row is sure
    const T scale = in3_p[i] / sum;
    T others = 0;
    for (Index j = 0; j < h; j++) {
      const T share = out0_p[i * h + j] * scale;
      if (j != in2_p[i]) others += share;
      out0_p[i * h + j] = share;
    }
    out0_p[i * h + in2_p[i]] = -others;
  }
  __syncthreads();
  sum_columns(out0_p, held, out1_p, first, last, h);
}
// launches
const Index n = in0_shape0, h = in0_shape1, parts = (n + ROWS - 1) / ROWS;
cross_entropy_backward<<<parts, ROWS>>>(in0_p, in1_p, in2_p, in3_p, ARGUMENTS out0_p, out1_p, out2_p, n, h);
if (parts > FEW_PARTS) sum_parts<<<h, 256>>>(out2_p, out1_p, parts, h);
