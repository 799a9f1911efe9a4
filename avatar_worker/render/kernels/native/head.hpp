// A head in the form in which it is drawn, and what a frame changes in it.
//
// Three rewritings, exact up to rounding, shorten the networks of the checkpoint:
//   audio     W₀ₐ · (a ⊙ A₂ h) = (W₀ₐ · diag(a) · A₂) · h: per frame one matrix on the hidden
//             layer of the attention, whose outputs are never formed
//   eyes      weighted outputs stand beside the plane features in the density network's input;
//             the vector e goes into that network's weights, per frame
//   colour    there is no activation between the last density layer and the first colour layer:
//             C₀g · S₂ is one matrix, and the geometry features are never formed
//
// Rows of what the density and the colour network see:
//   density  0 audio hidden (64) | 64 plane features (36) | 100 eyes (≤ 8)
//   colour   0 density hidden (64) | 64 harmonics (16) | 80 constant rest (1)
#pragma once
#include <algorithm>

#if defined(AVATAR_ISA_AMX)
#include "network_tiles.hpp"
#elif defined(AVATAR_ISA_FP16)
#include "network_half.hpp"
#elif defined(AVATAR_ISA_BF16)
#include "network_bfloat.hpp"
#else
#include "network_float.hpp"
#endif

constexpr int kHidden = 64;
constexpr int kAudio = 32;
constexpr int kHarmonics = 16;
constexpr int kMaxEye = 8;
constexpr int kMaxCode = 64;

constexpr int kFeatureRow = kHidden;
constexpr int kEyeRow = kFeatureRow + kFeatures;
constexpr int kInRows = 128;
constexpr int kHarmonicRow = kHidden;
constexpr int kRestRow = kHarmonicRow + kHarmonics;
constexpr int kColorRows = 96;

constexpr int kGrid = 128;
constexpr int kFineGrid = 2 * kGrid;
constexpr float kStep = static_cast<float>(2 * 1.7320508075688772 / kGrid);

// The tensors of a checkpoint as C arrays, row-major. Twin of `PackedHead` in cpu.py.
struct HeadSource {
    const uint64_t* corners[kPlanes];  // see tables.hpp; all levels after each other
    const int32_t* stride;           // [12]
    const float* scale;              // [12]
    const uint32_t* occupancy;       // [128][128][4], bit z % 32 of word z / 32
    const uint32_t* filled;          // [256][256][8] likewise, null where it is not known; see Head
    const float* audio_attention_0;  // [64][36]
    const float* audio_attention_1;  // [32][64]
    const float* eye_attention_0;    // [eye_hidden][36]
    const float* eye_attention_1;    // [n_eye][eye_hidden]
    const float* sigma_0;            // [64][36 + 32 + n_eye]
    const float* sigma_1;            // [64][64]
    const float* sigma_2;            // [65][64]
    const float* color_0;            // [64][16 + 64 + n_code]
    const float* color_1;            // [3][64]
    const float* code;               // [n_code]
    float aabb[6];
    int32_t n_eye, eye_hidden, n_code, eye_sigmoid;
};

struct Ball {
    float middle[3], radius;
};

struct Head {
    Tables tables;
    Buffer<uint32_t> occupancy;
    // Cells of half the size that can hold something; the other ones in occupied cells are empty
    // whatever is said, and a ray's samples there count without being evaluated. Null: all can.
    Buffer<uint32_t> filled;
    Network::Layer eye_attention_0, eye_attention_1;  // plane features → hidden → eye outputs
    Network::Layer audio_attention_0;
    Network::Layer sigma_1, sigma;  // density hidden; log density
    Network::Layer color_0, color_1;
    Matrix sigma_0, audio_attention_1;
    float aabb[6];
    std::vector<Ball> occupied;  // around every block of cells that holds an occupied one
    int n_eye;
    bool eye_sigmoid;

    explicit Head(const HeadSource& source)
        : occupancy(kGrid * kGrid * kGrid / 32),
          sigma_0(kHidden, kFeatures + kAudio + source.n_eye),
          audio_attention_1(kAudio, kHidden),
          n_eye(source.n_eye),
          eye_sigmoid(source.eye_sigmoid != 0) {
        copy_tables(source);
        std::memcpy(occupancy.get(), source.occupancy, kGrid * kGrid * kGrid / 8);
        if (source.filled != nullptr) {
            filled = Buffer<uint32_t>(kFineGrid * kFineGrid * kFineGrid / 32);
            std::memcpy(filled.get(), source.filled, kFineGrid * kFineGrid * kFineGrid / 8);
        }
        std::memcpy(aabb, source.aabb, sizeof aabb);
        find_occupied();
        std::memcpy(sigma_0.values.data(), source.sigma_0, sigma_0.values.size() * 4);
        std::memcpy(audio_attention_1.values.data(), source.audio_attention_1, kAudio * kHidden * 4);
        pack_attention(source);
        pack_density(source);
        pack_color(source);
    }

  private:
    void copy_tables(const HeadSource& source) {
        int points = 0;
        for (int level = 0; level < kLevels; ++level) {
            tables.start[level] = points;
            tables.stride[level] = source.stride[level];
            tables.half_scale[level] = source.scale[level] * 0.5f;
            points += source.stride[level] * source.stride[level];
        }
        for (int plane = 0; plane < kPlanes; ++plane) {
            tables.corners[plane] = Buffer<uint64_t>(points);
            std::memcpy(tables.corners[plane].get(), source.corners[plane], points * sizeof(uint64_t));
        }
    }

    void find_occupied() {
        constexpr int kSide = 8;  // cells
        constexpr float kCell = 2.0f / kGrid, kRadius = 0.5f * 1.7320508f * kSide * kCell;
        std::vector<uint8_t> is_occupied(kGrid * kGrid * kGrid / (kSide * kSide * kSide));
        const auto block_of = [](int x, int y, int z) {
            constexpr int n = kGrid / kSide;
            return (x / kSide * n + y / kSide) * n + z / kSide;
        };
        for (int x = 0; x < kGrid; ++x)
            for (int y = 0; y < kGrid; ++y)
                for (int z = 0; z < kGrid; ++z) {
                    const int i = (x * kGrid + y) * kGrid + z;
                    is_occupied[block_of(x, y, z)] |= occupancy[i / 32] >> (i % 32) & 1;
                }
        const auto middle = [](int first) { return (first + kSide / 2) * kCell - 1.0f; };
        for (int x = 0; x < kGrid; x += kSide)
            for (int y = 0; y < kGrid; y += kSide)
                for (int z = 0; z < kGrid; z += kSide)
                    if (is_occupied[block_of(x, y, z)])
                        occupied.push_back({{middle(x), middle(y), middle(z)}, kRadius});
    }

    void pack_attention(const HeadSource& source) {
        Matrix audio(kHidden, kFeatures), first(kHidden, kFeatures), second(n_eye, kHidden);
        for (int i = 0; i < kHidden * kFeatures; ++i)
            audio.values[i] = source.audio_attention_0[i] * Network::kFeatureGain;
        for (int m = 0; m < source.eye_hidden; ++m)
            for (int k = 0; k < kFeatures; ++k)
                first.at(m, k) = source.eye_attention_0[m * kFeatures + k] * Network::kFeatureGain;
        for (int m = 0; m < n_eye; ++m)
            for (int k = 0; k < source.eye_hidden; ++k)
                second.at(m, k) =
                    source.eye_attention_1[m * source.eye_hidden + k] * Network::kTruncationGain;
        audio_attention_0 = Network::pack(audio);
        eye_attention_0 = Network::pack(first);
        eye_attention_1 = Network::pack_outputs(second);
    }

    void pack_density(const HeadSource& source) {
        Matrix second(kHidden, kHidden), third(1, kHidden);
        for (int i = 0; i < kHidden * kHidden; ++i)
            second.values[i] = source.sigma_1[i] * Network::kTruncationGain;
        for (int k = 0; k < kHidden; ++k)
            third.values[k] = source.sigma_2[k] * Network::kTruncationGain;
        sigma_1 = Network::pack(second);
        sigma = Network::pack_outputs(third);
    }

    void pack_color(const HeadSource& source) {
        const int cols = kHarmonics + kHidden + source.n_code;
        Matrix first(kHidden, kRestRow + 1), second(3, kHidden);
        for (int m = 0; m < kHidden; ++m) {
            const float* row = source.color_0 + m * cols;
            for (int k = 0; k < kHidden; ++k) {
                double sum = 0;
                for (int j = 0; j < kHidden; ++j)
                    sum += static_cast<double>(row[kHarmonics + j]) * source.sigma_2[(1 + j) * kHidden + k];
                first.at(m, k) = static_cast<float>(sum) * Network::kTruncationGain;
            }
            for (int k = 1; k < kHarmonics; ++k) first.at(m, kHarmonicRow + k) = row[k];
            // The first harmonic and the code are constant: one column fed with 1, and another
            // for what rounding leaves of it.
            double constant = row[0] * 0.28209479177387814;
            for (int j = 0; j < source.n_code; ++j)
                constant += static_cast<double>(row[kHarmonics + kHidden + j]) * source.code[j];
            const float rounded = rounded_to_bf16(static_cast<float>(constant));
            first.at(m, kHarmonicRow) = rounded;
            first.at(m, kRestRow) = static_cast<float>(constant - rounded);
        }
        for (int i = 0; i < 3 * kHidden; ++i)
            second.values[i] = source.color_1[i] * Network::kTruncationGain;
        color_0 = Network::pack(first);
        color_1 = Network::pack_outputs(second);
    }
};

// First layer of the density network for one audio and eye vector.
inline Network::Layer frame_layer(const Head& head, const float* audio, const float* eye) {
    Matrix merged(kHidden, kEyeRow + head.n_eye);
    for (int m = 0; m < kHidden; ++m) {
        float* row = &merged.at(m, 0);
        const float* original = head.sigma_0.values.data() + static_cast<size_t>(m) * head.sigma_0.cols;
        for (int j = 0; j < kAudio; ++j) {
            const float weight = original[kFeatures + j] * audio[j] * Network::kTruncationGain;
            const float* attention = head.audio_attention_1.values.data() + j * kHidden;
            for (int k = 0; k < kHidden; ++k) row[k] += weight * attention[k];
        }
        for (int k = 0; k < kFeatures; ++k) row[kFeatureRow + k] = original[k] * Network::kFeatureGain;
        for (int j = 0; j < head.n_eye; ++j)
            row[kEyeRow + j] = original[kFeatures + kAudio + j] * eye[j];
    }
    return Network::pack(merged);
}
