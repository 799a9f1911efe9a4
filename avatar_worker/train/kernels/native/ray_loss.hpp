// The loss of one ray and its gradient with respect to what the networks said at its samples.
//
//   α = 1 − exp(−σ dt)   w = α T   T ← T (1 − α), until T < 1e-4   W = Σ w
//   Ĉ = Σ w c + (1 − W) B
//   loss = mean |Ĉ − C|  +  entropy · H₂(W)  +  distortion · (Σᵢⱼ wᵢ wⱼ |tᵢ − tⱼ| + ⅓ Σ w² dt)
//          + whatever the caller derives from Ĉ of several rays, given as its gradient
//
// Sources: Max 1995 (compositing); Barron et al. 2022, mip-NeRF 360, eq. 15 (distortion). With
// gⱼ = ∂loss/∂wⱼ and g_T that of the light that comes through,
//   ∂loss/∂ log σⱼ = σⱼ dt · (T_{j+1} gⱼ − Σ_{i>j} wᵢ gᵢ − T_end g_T).
#pragma once
#include <algorithm>
#include <cmath>

#include "rays.hpp"

constexpr int kTrainCap = 32;
constexpr float kEndTransmittance = 1e-4f;
constexpr float kColorGain = 1.002f, kColorShift = 0.001f;

struct LossWeights {
    float entropy, distortion;
    float scale;  // of the gradients: 1 / number of rays
    float keep;   // samples of less weight are not trained
};

struct RayResult {
    double color_loss = 0, entropy = 0, distortion = 0;
    float weight = 0;
    int used = 0;
};

// Logits and their gradients are rows [log σ, red, green, blue] of `stride` floats; the samples of
// the ray are `count` columns from `first` on, t[j] their parameters. Gradients of samples beyond
// the last used one stay as they are, with keep = 0. `further` is the gradient with respect to Ĉ of
// what else the batch's loss has, `drawn` receives Ĉ; both may be null.
inline RayResult ray_loss(const LossWeights& weights, const float* logits, float* gradients,
                          int stride, int first, int count, const float* t, const float* target,
                          const float* background, const float* further, float* drawn,
                          uint8_t* keep) {
    float sigma[kTrainCap], alpha[kTrainCap], w[kTrainCap], after[kTrainCap], color[3][kTrainCap];
    float rgb[3] = {0, 0, 0}, transmittance = 1.0f;
    RayResult result;
    int n = 0;
    while (n < count && transmittance >= kEndTransmittance) {
        const int j = n++;
        sigma[j] = std::exp(std::clamp(logits[first + j], -20.0f, 12.0f));
        alpha[j] = 1.0f - std::exp(-sigma[j] * kStep);
        w[j] = alpha[j] * transmittance;
        transmittance *= 1.0f - alpha[j];
        after[j] = transmittance;
        for (int c = 0; c < 3; ++c) {
            const float logit = std::clamp(logits[(c + 1) * stride + first + j], -15.0f, 15.0f);
            color[c][j] = kColorGain / (1.0f + std::exp(-logit)) - kColorShift;
            rgb[c] += w[j] * color[c][j];
        }
    }
    result.used = n;
    result.weight = 1.0f - transmittance;

    float toward[3], through = 0;  // ∂loss/∂Ĉ, and ∂loss/∂T_end
    for (int c = 0; c < 3; ++c) {
        const float error = rgb[c] + transmittance * background[c] - target[c];
        result.color_loss += std::fabs(error) / 3.0f;
        toward[c] = static_cast<float>((error > 0) - (error < 0)) / 3.0f;
        if (further != nullptr) toward[c] += further[c] / weights.scale;
        if (drawn != nullptr) drawn[c] = rgb[c] + transmittance * background[c];
        through += toward[c] * background[c];
    }
    constexpr float edge = 1e-5f;
    const float W = std::clamp(result.weight, edge, 1.0f - edge);
    result.entropy = -W * std::log2(W) - (1.0f - W) * std::log2(1.0f - W);
    if (W == result.weight) through += weights.entropy * std::log2(W / (1.0f - W));

    float sum_w = 0, sum_wt = 0;
    for (int j = 0; j < n; ++j) {
        sum_w += w[j];
        sum_wt += w[j] * t[j];
    }
    float before_w = 0, before_wt = 0, g[kTrainCap];
    for (int j = 0; j < n; ++j) {
        before_w += w[j];
        before_wt += w[j] * t[j];
        const float spread = 2.0f * (t[j] * before_w - before_wt + (sum_wt - before_wt) -
                                     t[j] * (sum_w - before_w));
        result.distortion += w[j] * (0.5f * spread + w[j] * kStep / 3.0f);
        g[j] = weights.distortion * (spread + w[j] * kStep * 2.0f / 3.0f);
        for (int c = 0; c < 3; ++c) g[j] += toward[c] * color[c][j];
    }

    float behind = transmittance * through;
    for (int j = n - 1; j >= 0; --j) {
        gradients[first + j] = weights.scale * sigma[j] * kStep * (after[j] * g[j] - behind);
        behind += w[j] * g[j];
        for (int c = 0; c < 3; ++c) {
            const float y = (color[c][j] + kColorShift) / kColorGain;
            gradients[(c + 1) * stride + first + j] =
                weights.scale * w[j] * toward[c] * kColorGain * y * (1.0f - y);
        }
        keep[first + j] = w[j] > weights.keep;
    }
    for (int j = n; j < count; ++j) keep[first + j] = 0;
    return result;
}
