// Forward and backward through the small networks, a block of 64 samples at a time.
//
// The networks are the merged ones of the renderer (head.hpp): seven matrices, whose gradients
// PyTorch carries on to the checkpoint's own weights. Rows of activations:
//   in     0 hidden of both attentions (128) | 128 plane features (36, padded to 48)
//   color  0 density hidden (64) | 64 harmonics (16)
//   back   0 colour (64) | 64 log density, red, green, blue (4, padded to 16)
//   deep   0 attentions (128) | 128 first density layer (64)
#pragma once
#include "hash_tables.hpp"
#if defined(AVATAR_TRAIN_TILES)
#include "products_tiles.hpp"
#elif defined(AVATAR_TRAIN_PAIRS)
#include "products_pairs.hpp"
#else
#include "products_float.hpp"
#endif

constexpr int kAttention = 128;
constexpr int kPaddedFeatures = 48;
constexpr int kTrainIn = kAttention + kPaddedFeatures;
constexpr int kColorIn = kHidden + kHarmonics;
constexpr int kLogits = 4;
constexpr int kOutputRows = 16;  // of the logits, padded

// Matrices as PyTorch holds them, row-major; `density_0` differs from frame to frame.
struct NetworkSource {
    const float* attention;  // [128][36]
    const float* features;   // [64][36]: the density network's first layer on the features
    const float* density_1;  // [64][64]
    const float* sigma;      // [64]
    const float* color_0;    // [64][80]
    const float* color_1;    // [3][64]
    const float* hidden;     // [n_frames][64][128]: the same layer on the attentions' hidden layer
    int32_t n_frames;
};

// Sums of gradients, in the padded forms above.
struct NetworkGradients {
    Buffer<float> attention{kAttention * kPaddedFeatures};
    Buffer<float> density_1{kHidden * kHidden};
    Buffer<float> color_0{kHidden * kColorIn};
    Buffer<float> sigma{kOutputRows * kHidden}, color_1{kOutputRows * kHidden};
    std::vector<Buffer<float>> density_0;  // [frame][64][176]

    explicit NetworkGradients(int n_frames) {
        for (int i = 0; i < n_frames; ++i) density_0.emplace_back(kHidden * kTrainIn);
    }
};

// The matrices as left operands, and transposed for the way back.
struct TrainedNetworks {
    Products::Layer attention, density_1, outputs_sigma, color_0, outputs_color;
    Products::Layer back_color, back_density_1, back_density_0;
    std::vector<Products::Layer> density_0, back_attention, back_features;

    explicit TrainedNetworks(const NetworkSource& s) {
        auto plain = [](const float* values, int rows, int cols) {
            Matrix m(rows, cols);
            std::memcpy(m.values.data(), values, m.values.size() * sizeof(float));
            return m;
        };
        attention = Products::pack(plain(s.attention, kAttention, kFeatures));
        density_1 = Products::pack(plain(s.density_1, kHidden, kHidden));
        color_0 = Products::pack(plain(s.color_0, kHidden, kColorIn));
        outputs_sigma = Products::pack(plain(s.sigma, 1, kHidden));
        outputs_color = Products::pack(plain(s.color_1, 3, kHidden));
        Matrix color(kHidden, 3), density(kHidden, kHidden + 1), first(kHidden, kHidden);
        for (int i = 0; i < kHidden; ++i) {
            for (int c = 0; c < 3; ++c) color.at(i, c) = s.color_1[c * kHidden + i];
            for (int j = 0; j < kHidden; ++j) {
                density.at(i, j) = s.color_0[j * kColorIn + i];
                first.at(i, j) = s.density_1[j * kHidden + i];
            }
            density.at(i, kHidden) = s.sigma[i];
        }
        back_color = Products::pack(color);
        back_density_1 = Products::pack(density);
        back_density_0 = Products::pack(first);
        for (int frame = 0; frame < s.n_frames; ++frame) pack_frame(s, frame);
    }

  private:
    void pack_frame(const NetworkSource& s, int frame) {
        const float* hidden = s.hidden + static_cast<int64_t>(frame) * kHidden * kAttention;
        Matrix layer(kHidden, kAttention + kFeatures), attentions(kAttention, kHidden);
        Matrix features(kFeatures, kAttention + kHidden);
        for (int i = 0; i < kHidden; ++i) {
            for (int k = 0; k < kAttention; ++k)
                layer.at(i, k) = attentions.at(k, i) = hidden[i * kAttention + k];
            for (int k = 0; k < kFeatures; ++k)
                layer.at(i, kAttention + k) = features.at(k, kAttention + i) =
                    s.features[i * kFeatures + k];
        }
        for (int k = 0; k < kFeatures; ++k)
            for (int i = 0; i < kAttention; ++i) features.at(k, i) = s.attention[i * kFeatures + k];
        density_0.push_back(Products::pack(layer));
        back_attention.push_back(Products::pack(attentions));
        back_features.push_back(Products::pack(features));
    }
};

// Memory of a thread. Plain data, zero at first.
struct TrainActivations {
    Rows16<kTrainIn> in;
    Rows16<kHidden> density;
    Rows16<kColorIn> color;
    Rows16<kHidden> color_hidden;
    Rows16<kHidden + kOutputRows> back;  // the last twelve rows stay zero
    Rows16<kHidden> density_back;
    Rows16<kAttention + kHidden> deep;
    Rows16<kPaddedFeatures> feature_back;
    alignas(64) float sigma[kTrainGroups * 8 * 16], rgb[kTrainGroups * 8 * 16];
    // For the weights' gradients.
    Products::BySample<kTrainIn> in_by_sample;
    Products::BySample<kHidden> density_by_sample;
    Products::BySample<kColorIn> color_by_sample;
    Products::BySample<kHidden> hidden_by_sample;
};

// One frame's view of the field, for one thread.
class TrainedField {
  public:
    TrainedField(const HashLevels& levels, const float* tables, const TrainedNetworks& networks,
                 TrainActivations& activations)
        : levels_(levels), tables_(tables), nets_(networks), a_(activations) {}

    // Logits of 64 points; directions are needed for the colour.
    void forward(int frame, const float* const point[3], const float* const direction[3]) {
        for (int g = 0; g < kTrainGroups; ++g) {
            const lanes::F p[3] = {load(point, 0, g), load(point, 1, g), load(point, 2, g)};
            const lanes::F d[3] = {load(direction, 0, g), load(direction, 1, g), load(direction, 2, g)};
            look_up(levels_, tables_, p, a_.in.row(g, kAttention));
            lanes::F shape[kHarmonics];
            harmonics(d, shape);
            for (int k = 0; k < kHarmonics; ++k) lanes::store(a_.color.row(g, kHidden + k), shape[k]);
        }
        layer(nets_.attention, a_.in.words(kAttention), a_.in.stride, a_.in);
        layer(nets_.density_0[frame], a_.in.words(), a_.in.stride, a_.density);
        layer(nets_.density_1, a_.density.words(), a_.density.stride, a_.color);
        layer(nets_.color_0, a_.color.words(), a_.color.stride, a_.color_hidden);
        Products::outputs(nets_.outputs_sigma, a_.color.words(), a_.color.stride, kTrainGroups, a_.sigma);
        Products::outputs(nets_.outputs_color, a_.color_hidden.words(), a_.color_hidden.stride,
                         kTrainGroups, a_.rgb);
    }
    lanes::F logit(int group, int k) const {
        return k == 0 ? Products::output(a_.sigma, group, 0) : Products::output(a_.rgb, group, k - 1);
    }

    // After `forward` of the same points: takes the gradients of the logits, adds those of the
    // matrices to `sums`; those of the features are then in `feature_gradient`.
    void backward(int frame, const float* const gradient[kLogits], NetworkGradients& sums) {
        for (int g = 0; g < kTrainGroups; ++g)
            for (int k = 0; k < kLogits; ++k)
                lanes::store(a_.back.row(g, kHidden + k), lanes::load(gradient[k] + g * 16));
        masked(nets_.back_color, a_.back.words(kHidden + 1), a_.back.stride, a_.color_hidden, a_.back, 0);
        masked(nets_.back_density_1, a_.back.words(), a_.back.stride, a_.color, a_.density_back, 0);
        masked(nets_.back_density_0, a_.density_back.words(), a_.density_back.stride, a_.density,
               a_.deep, kAttention);
        masked(nets_.back_attention[frame], a_.deep.words(kAttention), a_.deep.stride, a_.in, a_.deep, 0);
        Products::multiply(nets_.back_features[frame], a_.deep.words(), a_.deep.stride, kTrainGroups,
                          [&](int g, int row, lanes::F v) { lanes::store(a_.feature_back.row(g, row), v); });

        a_.in_by_sample.fill(a_.in);
        a_.density_by_sample.fill(a_.density);
        a_.color_by_sample.fill(a_.color);
        a_.hidden_by_sample.fill(a_.color_hidden);
        const Products::Factors<kAttention + kHidden> deep(a_.deep);
        const Products::Factors<kHidden> density_back(a_.density_back);
        const Products::Factors<kHidden + kOutputRows> back(a_.back);
        Products::add_products(deep, kAttention, kHidden, a_.in_by_sample, 0, kTrainIn,
                               sums.density_0[frame].get());
        Products::add_products(deep, 0, kAttention, a_.in_by_sample, kAttention, kPaddedFeatures,
                               sums.attention.get());
        Products::add_products(density_back, 0, kHidden, a_.density_by_sample, 0, kHidden,
                               sums.density_1.get());
        Products::add_products(back, 0, kHidden, a_.color_by_sample, 0, kColorIn, sums.color_0.get());
        // One row of these belongs to the density, three to the colour.
        Products::add_products(back, kHidden, kOutputRows, a_.color_by_sample, 0, kHidden,
                               sums.sigma.get());
        Products::add_products(back, kHidden, kOutputRows, a_.hidden_by_sample, 0, kHidden,
                               sums.color_1.get());
    }
    lanes::F feature_gradient(int group, int feature) {
        return lanes::load(a_.feature_back.row(group, feature));
    }

  private:
    static lanes::F load(const float* const rows[3], int axis, int g) {
        return lanes::load(rows[axis] + g * 16);
    }
    template <int Rows>
    void layer(const Products::Layer& w, const uint32_t* x, int stride, Rows16<Rows>& y) {
        Network::Thread none;
        Products::layer(w, x, stride, kTrainGroups, y.words(), y.stride, none);
    }
    // Where the layer's output was 0, nothing goes back.
    template <int Rows, int OutRows>
    void masked(const Products::Layer& w, const uint32_t* x, int stride,
                Rows16<Rows>& output, Rows16<OutRows>& to, int row) {
        Products::multiply(w, x, stride, kTrainGroups, [&](int g, int r, lanes::F v) {
            const lanes::Mask open = lanes::above_zero(lanes::load(output.row(g, r)));
            lanes::store(to.row(g, row + r), lanes::only_where(open, v));
        });
    }
    const HashLevels& levels_;
    const float* tables_;
    const TrainedNetworks& nets_;
    TrainActivations& a_;
};
