#include <curand.h>
#include <random>
#define X extern "C" __attribute__((visibility("default")))
extern "C" {
void stand_in_open();
void stand_in_close();
void stand_in_launched(const char*);
}
static std::mt19937_64 engine;
X curandStatus_t curandCreateGenerator(curandGenerator_t* g, curandRngType_t) {
  *g = (curandGenerator_t)1;
  return CURAND_STATUS_SUCCESS;
}
X curandStatus_t curandDestroyGenerator(curandGenerator_t) { return CURAND_STATUS_SUCCESS; }
X curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t, unsigned long long s) {
  engine.seed(s);
  return CURAND_STATUS_SUCCESS;
}
template <class T, class D>
static curandStatus_t fill(T* p, size_t n, D d) {
  stand_in_launched("curand");
  stand_in_open();
  for (size_t i = 0; i < n; i++) p[i] = d(engine);
  stand_in_close();
  return CURAND_STATUS_SUCCESS;
}
X curandStatus_t curandGenerateUniform(curandGenerator_t, float* p, size_t n) {
  return fill(p, n, std::uniform_real_distribution<float>());
}
X curandStatus_t curandGenerateUniformDouble(curandGenerator_t, double* p, size_t n) {
  return fill(p, n, std::uniform_real_distribution<double>());
}
X curandStatus_t curandGenerateNormal(curandGenerator_t, float* p, size_t n, float m, float s) {
  return fill(p, n, std::normal_distribution<float>(m, s));
}
X curandStatus_t curandGenerateNormalDouble(curandGenerator_t, double* p, size_t n, double m, double s) {
  return fill(p, n, std::normal_distribution<double>(m, s));
}
