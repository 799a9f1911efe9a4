// Sixteen samples side by side in one 512-bit register (AVX-512 F, BW, DQ, VL).
//
// `F` is sixteen floats, `I` sixteen 32-bit integers, `Mask` one bit a lane. The same names in
// lanes_avx2.hpp stand for two 256-bit registers; the kernel is written once against them.
#pragma once
#include <immintrin.h>
#include <cstdint>

namespace lanes {

using F = __m512;
using I = __m512i;
using Mask = __mmask16;

inline F splat(float v) { return _mm512_set1_ps(v); }
inline I splat_int(int v) { return _mm512_set1_epi32(v); }
inline F load(const float* p) { return _mm512_load_ps(p); }
inline I load(const int32_t* p) { return _mm512_load_si512(p); }
inline I load(const uint32_t* p) { return _mm512_load_si512(p); }
inline void store(float* p, F v) { _mm512_store_ps(p, v); }
inline void store(uint32_t* p, I v) { _mm512_store_si512(p, v); }
inline void store(int32_t* p, I v) { _mm512_store_si512(p, v); }

inline F add(F a, F b) { return _mm512_add_ps(a, b); }
inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F div(F a, F b) { return _mm512_div_ps(a, b); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
inline F sqrt(F a) { return _mm512_sqrt_ps(a); }
inline F floor(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
inline F round(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
// Both return the second operand where the first is not a number.
inline F min(F a, F b) { return _mm512_min_ps(a, b); }
inline F max(F a, F b) { return _mm512_max_ps(a, b); }
// a · 2^n for a whole number n.
inline F scale_by_power(F a, F n) { return _mm512_scalef_ps(a, n); }

inline I to_int(F a) { return _mm512_cvttps_epi32(a); }
inline F to_float(I a) { return _mm512_cvtepi32_ps(a); }
inline I add(I a, I b) { return _mm512_add_epi32(a, b); }
inline I mul(I a, I b) { return _mm512_mullo_epi32(a, b); }
inline I bit_xor(I a, I b) { return _mm512_xor_si512(a, b); }
inline I bit_or(I a, I b) { return _mm512_or_si512(a, b); }
inline I bit_and(I a, I b) { return _mm512_and_si512(a, b); }
inline I shift_left(I a, int n) { return _mm512_slli_epi32(a, static_cast<unsigned>(n)); }
inline I shift_right(I a, int n) { return _mm512_srli_epi32(a, static_cast<unsigned>(n)); }
inline I one_bit(I position) { return _mm512_sllv_epi32(_mm512_set1_epi32(1), position); }

inline Mask above_zero(F a) { return _mm512_cmp_ps_mask(a, _mm512_setzero_ps(), _CMP_GT_OQ); }
inline F only_where(Mask m, F a) { return _mm512_maskz_mov_ps(m, a); }
inline Mask less(F a, F b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
inline Mask both(Mask a, Mask b) { return a & b; }
inline Mask without(Mask a, Mask b) { return a & static_cast<Mask>(~b); }
inline Mask any_bit(I a, I b) { return _mm512_test_epi32_mask(a, b); }
inline bool is_empty(Mask m) { return m == 0; }
inline I or_where(Mask m, I a, I bits) { return _mm512_mask_or_epi32(a, m, a, bits); }

inline F gather(const float* base, I index) { return _mm512_i32gather_ps(index, base, 4); }
inline I gather(const uint32_t* base, I index) { return _mm512_i32gather_epi32(index, base, 4); }
// Lower and upper words of sixteen 64-bit entries. Half as many loads as two gathers of words.
inline void gather_entries(const uint64_t* base, I index, I& lower, I& upper) {
    const I even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
    const I odd = _mm512_set_epi32(31, 29, 27, 25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
    const I a = _mm512_i32gather_epi64(_mm512_castsi512_si256(index), base, 8);
    const I b = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(index, 1), base, 8);
    lower = _mm512_permutex2var_epi32(a, even, b);
    upper = _mm512_permutex2var_epi32(a, odd, b);
}
// The same with a load for each entry; `number` says which.
inline void load_entries(const uint64_t* base, const uint32_t* number, I& lower, I& upper) {
    const auto two = [&](int i) {
        const auto* first = reinterpret_cast<const double*>(base + number[i]);
        const auto* second = reinterpret_cast<const double*>(base + number[i + 1]);
        return _mm_loadh_pd(_mm_load_sd(first), second);
    };
    const auto four = [&](int i) {
        return _mm256_insertf128_pd(_mm256_castpd128_pd256(two(i)), two(i + 4), 1);
    };
    const auto eight = [&](int i) {
        return _mm512_castpd_ps(
            _mm512_insertf64x4(_mm512_castpd256_pd512(four(i)), four(i + 8), 1));
    };
    const F a = eight(0), b = eight(2);
    lower = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0x88));
    upper = _mm512_castps_si512(_mm512_shuffle_ps(a, b, 0xDD));
}

// A lane holds two half-precision numbers; the lower and the upper one as floats.
inline F lower_half(I packed) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(packed)); }
inline F upper_half(I packed) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(_mm512_srli_epi32(packed, 16)));
}

// 0 … 15.
inline I count_up() { return _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0); }

// Chosen lanes on their way to memory, where they stand behind each other.
class Moved {
  public:
    // The first goes to place `position` of sixteen.
    Moved(Mask chosen, int position) : count_(__builtin_popcount(chosen)) {
        const I together = _mm512_maskz_compress_epi32(chosen, count_up());
        // Lane numbers count modulo 16.
        source_ = _mm512_permutexvar_epi32(_mm512_sub_epi32(count_up(), splat_int(position)), together);
        const uint32_t places = ((1u << count_) - 1) << position;
        here_ = static_cast<Mask>(places);
        next_ = static_cast<Mask>(places >> 16);
    }
    int count() const { return count_; }
    // Those that have no place in the sixteen from `here` on go to `next`.
    template <typename T>
    void store(I row, T* here, T* next) const {
        row = _mm512_permutexvar_epi32(source_, row);
        _mm512_mask_store_epi32(here, here_, row);
        if (next_ != 0) _mm512_mask_store_epi32(next, next_, row);
    }

  private:
    int count_;
    I source_;
    Mask here_, next_;
};

}  // namespace lanes
