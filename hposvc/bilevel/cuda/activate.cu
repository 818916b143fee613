// activation(z + bias): rows z (in0) and bias (in1) to out0.
template <class T>
__global__ void activate(const T* __restrict__ in0_p, const T* __restrict__ in1_p, PARAMETERS T* __restrict__ out0_p,
                         Index size, Index h) {
  const T LARGEST = 80;
  const Index at = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (at >= size) return;
  const Index j = at % h, i = at / h;
  const T* z = in0_p + i * h;
  ALONG
  const T x = ENTRY;
  T y;
  VALUE
  out0_p[at] = y;
}
// launches
const Index size = in0->num, h = in0_shape1;
activate<<<(size + 255) / 256, 256>>>(in0_p, in1_p, ARGUMENTS out0_p, size, h);
