// A step of Adam (Kingma and Ba, ICLR 2015): lambda (in0), gradient (in1) and moments (in2, in3); settings as data.
template <class T>
__global__ void adam(const T* __restrict__ in0_p, const T* __restrict__ in1_p, const T* __restrict__ in2_p,
                     const T* __restrict__ in3_p, T* __restrict__ out0_p, T* __restrict__ out1_p,
                     T* __restrict__ out2_p, Index size, T beta1, T rest1, T beta2, T rest2, T unbias2, T rate,
                     T epsilon) {
  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= size) return;
  const T g = in1_p[i], m = beta1 * in2_p[i] + rest1 * g, v = beta2 * in3_p[i] + rest2 * (g * g);
  out0_p[i] = in0_p[i] - rate * (m / (sqrt(v / unbias2) + epsilon));
  out1_p[i] = m;
  out2_p[i] = v;
}
// launches
using T = in0_type;
const Index size = in0->num;
adam<<<(size + 255) / 256, 256>>>(in0_p, in1_p, in2_p, in3_p, out0_p, out1_p, out2_p, size, T(data["beta1"]),
                                  T(data["rest1"]), T(data["beta2"]), T(data["rest2"]), T(data["unbias2"]),
                                  T(data["rate"]), T(data["epsilon"]));
