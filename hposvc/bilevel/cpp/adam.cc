// A step of Adam (Kingma and Ba, ICLR 2015): lambda (in0), gradient (in1), moments (in2, in3); settings as data.
(void)"kernel: Adam";
using T = in0_type;
const int64 size = in0->num;
const T beta1 = data["beta1"], rest1 = data["rest1"], beta2 = data["beta2"], rest2 = data["rest2"];
const T unbias2 = data["unbias2"], rate = data["rate"], epsilon = data["epsilon"];
#pragma omp parallel for schedule(static) num_threads(size < 32768 ? 1 : omp_get_max_threads())
for (int64 i = 0; i < size; i++) {
  const T g = in1_p[i], m = beta1 * in2_p[i] + rest1 * g, v = beta2 * in3_p[i] + rest2 * (g * g);
  out0_p[i] = in0_p[i] - rate * (m / (std::sqrt(v / unbias2) + epsilon));
  out1_p[i] = m;
  out2_p[i] = v;
}
