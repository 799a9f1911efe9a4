// Sixteen samples side by side in two 256-bit registers (AVX2, FMA, F16C).
//
// The names and meanings are those of lanes_avx512.hpp.
#pragma once
#include <immintrin.h>
#include <cstdint>

namespace lanes {

struct F {
    __m256 a, b;
};
struct I {
    __m256i a, b;
};
struct Mask {
    __m256i a, b;
};

inline F splat(float v) { return {_mm256_set1_ps(v), _mm256_set1_ps(v)}; }
inline I splat_int(int v) { return {_mm256_set1_epi32(v), _mm256_set1_epi32(v)}; }
inline F load(const float* p) { return {_mm256_load_ps(p), _mm256_load_ps(p + 8)}; }
inline I load(const int32_t* p) {
    return {_mm256_load_si256(reinterpret_cast<const __m256i*>(p)),
            _mm256_load_si256(reinterpret_cast<const __m256i*>(p + 8))};
}
inline I load(const uint32_t* p) { return load(reinterpret_cast<const int32_t*>(p)); }
inline void store(float* p, F v) {
    _mm256_store_ps(p, v.a);
    _mm256_store_ps(p + 8, v.b);
}
inline void store(uint32_t* p, I v) {
    _mm256_store_si256(reinterpret_cast<__m256i*>(p), v.a);
    _mm256_store_si256(reinterpret_cast<__m256i*>(p + 8), v.b);
}
inline void store(int32_t* p, I v) { store(reinterpret_cast<uint32_t*>(p), v); }

inline F add(F x, F y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
inline F sub(F x, F y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
inline F mul(F x, F y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
inline F div(F x, F y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
inline F fma(F x, F y, F z) {
    return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
inline F sqrt(F x) { return {_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)}; }
inline F floor(F x) { return {_mm256_floor_ps(x.a), _mm256_floor_ps(x.b)}; }
inline F round(F x) {
    constexpr int mode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    return {_mm256_round_ps(x.a, mode), _mm256_round_ps(x.b, mode)};
}
inline F min(F x, F y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
inline F max(F x, F y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }

inline I to_int(F x) { return {_mm256_cvttps_epi32(x.a), _mm256_cvttps_epi32(x.b)}; }
inline F to_float(I x) { return {_mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b)}; }
inline I add(I x, I y) { return {_mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b)}; }
inline I mul(I x, I y) { return {_mm256_mullo_epi32(x.a, y.a), _mm256_mullo_epi32(x.b, y.b)}; }
inline I bit_xor(I x, I y) { return {_mm256_xor_si256(x.a, y.a), _mm256_xor_si256(x.b, y.b)}; }
inline I bit_or(I x, I y) { return {_mm256_or_si256(x.a, y.a), _mm256_or_si256(x.b, y.b)}; }
inline I bit_and(I x, I y) { return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)}; }
inline I shift_left(I x, int n) { return {_mm256_slli_epi32(x.a, n), _mm256_slli_epi32(x.b, n)}; }
inline I shift_right(I x, int n) { return {_mm256_srli_epi32(x.a, n), _mm256_srli_epi32(x.b, n)}; }
inline I one_bit(I n) {
    const __m256i one = _mm256_set1_epi32(1);
    return {_mm256_sllv_epi32(one, n.a), _mm256_sllv_epi32(one, n.b)};
}
// The exponent field is built directly: n lies in −126 … 127 for every caller.
inline F scale_by_power(F x, F n) {
    const I exponent = shift_left(add(to_int(n), splat_int(127)), 23);
    return {_mm256_mul_ps(x.a, _mm256_castsi256_ps(exponent.a)),
            _mm256_mul_ps(x.b, _mm256_castsi256_ps(exponent.b))};
}

inline Mask above_zero(F x) {
    const __m256 zero = _mm256_setzero_ps();
    return {_mm256_castps_si256(_mm256_cmp_ps(x.a, zero, _CMP_GT_OQ)),
            _mm256_castps_si256(_mm256_cmp_ps(x.b, zero, _CMP_GT_OQ))};
}
inline F only_where(Mask m, F x) {
    return {_mm256_and_ps(x.a, _mm256_castsi256_ps(m.a)),
            _mm256_and_ps(x.b, _mm256_castsi256_ps(m.b))};
}
inline Mask less(F x, F y) {
    return {_mm256_castps_si256(_mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
            _mm256_castps_si256(_mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ))};
}
inline Mask both(Mask x, Mask y) {
    return {_mm256_and_si256(x.a, y.a), _mm256_and_si256(x.b, y.b)};
}
inline Mask without(Mask x, Mask y) {
    return {_mm256_andnot_si256(y.a, x.a), _mm256_andnot_si256(y.b, x.b)};
}
inline Mask any_bit(I x, I y) {
    const __m256i zero = _mm256_setzero_si256(), ones = _mm256_set1_epi32(-1);
    const I hit = bit_and(x, y);
    return {_mm256_xor_si256(_mm256_cmpeq_epi32(hit.a, zero), ones),
            _mm256_xor_si256(_mm256_cmpeq_epi32(hit.b, zero), ones)};
}
inline bool is_empty(Mask m) {
    const __m256i all = _mm256_or_si256(m.a, m.b);
    return _mm256_testz_si256(all, all) != 0;
}
inline I or_where(Mask m, I x, I bits) {
    return {_mm256_or_si256(x.a, _mm256_and_si256(m.a, bits.a)),
            _mm256_or_si256(x.b, _mm256_and_si256(m.b, bits.b))};
}

inline F gather(const float* base, I index) {
    return {_mm256_i32gather_ps(base, index.a, 4), _mm256_i32gather_ps(base, index.b, 4)};
}
inline I gather(const uint32_t* base, I index) {
    const int* p = reinterpret_cast<const int*>(base);
    return {_mm256_i32gather_epi32(p, index.a, 4), _mm256_i32gather_epi32(p, index.b, 4)};
}
inline void gather_entries(const uint64_t* base, __m256i index, __m256i& lower, __m256i& upper) {
    const long long* p = reinterpret_cast<const long long*>(base);
    const __m256 a = _mm256_castsi256_ps(_mm256_i32gather_epi64(p, _mm256_castsi256_si128(index), 8));
    const __m256 b = _mm256_castsi256_ps(_mm256_i32gather_epi64(p, _mm256_extracti128_si256(index, 1), 8));
    const auto in_order = [](__m256 v) {
        return _mm256_permute4x64_epi64(_mm256_castps_si256(v), 0xD8);
    };
    lower = in_order(_mm256_shuffle_ps(a, b, 0x88));
    upper = in_order(_mm256_shuffle_ps(a, b, 0xDD));
}
// Lower and upper words of sixteen 64-bit entries.
inline void gather_entries(const uint64_t* base, I index, I& lower, I& upper) {
    gather_entries(base, index.a, lower.a, upper.a);
    gather_entries(base, index.b, lower.b, upper.b);
}
// The same with a load for each entry; `number` says which.
inline void load_entries(const uint64_t* base, const uint32_t* number, I& lower, I& upper) {
    const auto two = [&](int i) {
        const auto* first = reinterpret_cast<const double*>(base + number[i]);
        const auto* second = reinterpret_cast<const double*>(base + number[i + 1]);
        return _mm_loadh_pd(_mm_load_sd(first), second);
    };
    const auto four = [&](int i) {
        return _mm256_castpd_ps(
            _mm256_insertf128_pd(_mm256_castpd128_pd256(two(i)), two(i + 4), 1));
    };
    const auto eight = [&](int i, __m256i& low, __m256i& high) {
        const __m256 a = four(i), b = four(i + 2);
        low = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
        high = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xDD));
    };
    eight(0, lower.a, upper.a);
    eight(8, lower.b, upper.b);
}

// Packing works within 128-bit halves; the permutation brings the lanes back in order.
inline __m256 low_words_to_float(__m256i words) {
    const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0x08);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(packed));
}
inline F lower_half(I packed) {
    const I low = bit_and(packed, splat_int(0xffff));
    return {low_words_to_float(low.a), low_words_to_float(low.b)};
}
inline F upper_half(I packed) {
    const I high = shift_right(packed, 16);
    return {low_words_to_float(high.a), low_words_to_float(high.b)};
}

// 0 … 15.
inline I count_up() {
    return {_mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0), _mm256_set_epi32(15, 14, 13, 12, 11, 10, 9, 8)};
}

// Chosen lanes on their way to memory, where they stand behind each other.
class Moved {
  public:
    // The first goes to place `position` of sixteen.
    Moved(Mask chosen, int position) : position_(position) {
        const auto bits = [](__m256i v) { return _mm256_movemask_ps(_mm256_castsi256_ps(v)); };
        for (int rest = bits(chosen.a) | bits(chosen.b) << 8; rest != 0; rest &= rest - 1)
            lane_[count_++] = __builtin_ctz(rest);
    }
    int count() const { return count_; }
    // Those that have no place in the sixteen from `here` on go to `next`.
    template <typename T>
    void store(I row, T* here, T* next) const {
        alignas(32) uint32_t words[16];
        lanes::store(words, row);
        const int n = count_ < 16 - position_ ? count_ : 16 - position_;
        for (int k = 0; k < n; ++k) here[position_ + k] = static_cast<T>(words[lane_[k]]);
        for (int k = n; k < count_; ++k) next[k - n] = static_cast<T>(words[lane_[k]]);
    }

  private:
    int position_, count_ = 0;
    int lane_[16];
};

}  // namespace lanes
