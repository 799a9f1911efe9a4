// Chooses the registers to compute with, and functions built from them.
#pragma once
#if defined(__AVX512BW__)
#include "lanes_avx512.hpp"
#else
#include "lanes_avx2.hpp"
#endif

namespace lanes {

// While it exists this thread takes numbers below 1e-38 for 0: opaque and empty places are full of
// them, and each costs a hundred cycles.
class NoDenormals {
  public:
    NoDenormals() : before_(_mm_getcsr()) { _mm_setcsr(before_ | kFlushToZero | kDenormalsAreZero); }
    ~NoDenormals() { _mm_setcsr(before_); }
    NoDenormals(const NoDenormals&) = delete;
    NoDenormals& operator=(const NoDenormals&) = delete;

  private:
    static constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
    const unsigned before_;
};

// eˣ to about 2e-7 relative; the exponent is held where the result is a normal number.
inline F exp(F x) {
    x = max(min(x, splat(88.0f)), splat(-87.0f));
    const F scaled = mul(x, splat(1.44269504f));
    const F whole = round(scaled);
    const F rest = sub(scaled, whole);
    // 2^rest on [−½, ½], minimax of degree 5.
    F p = splat(1.8775767e-3f);
    p = fma(p, rest, splat(8.9893397e-3f));
    p = fma(p, rest, splat(5.5826318e-2f));
    p = fma(p, rest, splat(2.4015361e-1f));
    p = fma(p, rest, splat(6.9315308e-1f));
    p = fma(p, rest, splat(9.9999994e-1f));
    return scale_by_power(p, whole);
}

inline F sigmoid(F x) { return div(splat(1.0f), add(splat(1.0f), exp(sub(splat(0.0f), x)))); }

}  // namespace lanes
