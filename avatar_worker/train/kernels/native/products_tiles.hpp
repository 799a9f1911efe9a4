// Products of training in bfloat16 on the matrix unit (AMX), with float32 sums.
//
// As products_pairs.hpp: activations stay float32 and are rounded for every product. A matrix of
// weights is the left operand and samples are the columns. For the weights' gradients the left
// operand is the gradient, 32 samples in a row, and pairs of samples are the rows of the right one.
#pragma once
#include "bfloat_pairs.hpp"
#include "tile_unit.hpp"

struct Products : WrittenProducts<Products> {
    using F = lanes::F;
    using Thread = TileConfiguration;
    static constexpr int kMostPairs = 96;
    static constexpr int kHalves = kTrainBlock / 32;  // what a tile's row takes of a block

    struct Layer {
        Buffer<uint16_t> weights;  // [row tile][column tile][16][32]
        int rows = 0, cols = 0;
        int row_tiles() const { return (rows + 15) / 16; }
        int col_tiles() const { return (cols + 31) / 32; }
        const uint16_t* tiles(int row_tile) const {
            return weights.get() + static_cast<size_t>(row_tile) * col_tiles() * 512;
        }
    };

    static Layer pack(const Matrix& matrix) {
        Layer layer;
        layer.rows = matrix.rows;
        layer.cols = matrix.cols;
        layer.weights = Buffer<uint16_t>(static_cast<size_t>(layer.row_tiles()) * layer.col_tiles() * 512);
        for (int r = 0; r < matrix.rows; ++r)
            for (int c = 0; c < matrix.cols; ++c) {
                const size_t tile = static_cast<size_t>(r / 16) * layer.col_tiles() + c / 32;
                layer.weights[tile * 512 + r % 16 * 32 + c % 32] = to_bf16(matrix.at(r, c));
            }
        return layer;
    }

    // Writes whole tiles: up to fifteen rows more than the matrix has, all zero.
    template <typename Write>
    static void multiply(const Layer& w, const uint32_t* x, int x_words, int groups, Write write) {
        alignas(64) uint32_t in[kTrainGroups][kMostPairs * 16];
        for (int g = 0; g < groups; ++g) pair_rows(reinterpret_cast<const float*>(x + g * x_words), w, in[g]);
        int tile = 0;
        for (; tile + 2 <= w.row_tiles(); tile += 2)
            for (int g = 0; g < groups; g += 2) block<2>(w, tile, in[g], in[g + 1], g, write);
        if (tile < w.row_tiles())
            for (int g = 0; g < groups; g += 2) block<1>(w, tile, in[g], in[g + 1], g, write);
    }
    // Pairs of neighbouring samples as rows, in tiles of sixteen columns.
    template <int Rows>
    class BySample {
      public:
        void fill(Rows16<Rows>& from) {
            const Factors<Rows> pairs(from);
            for (int g = 0; g < kTrainGroups; ++g)
                for (int block = 0; block < Rows; block += 8)
                    transpose_8(pairs.of(g, block), Factors<Rows>::kWords,
                                values_[block / 16] + g * 128 + block % 16, 16);
        }
        const uint32_t* tile(int col, int half) const { return values_[col / 16] + half * 256; }

      private:
        alignas(64) uint32_t values_[Rows / 16][kTrainBlock / 2 * 16];
    };

    template <int Rows>
    class Factors {
      public:
        static constexpr int kWords = 16;
        explicit Factors(Rows16<Rows>& y) {
            for (int half = 0; half < kHalves; ++half)
                for (int r = 0; r < Rows; ++r)
                    _mm512_store_si512(pairs_[half][r], reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(
                                                            lanes::load(y.row(2 * half + 1, r)),
                                                            lanes::load(y.row(2 * half, r)))));
        }
        const uint32_t* of(int g, int row) const { return pairs_[g / 2][row] + g % 2 * 8; }
        const uint32_t* tile(int row, int half) const { return pairs_[half][row]; }

      private:
        alignas(64) uint32_t pairs_[kHalves][Rows][kWords];
    };

    template <int YRows, int XRows>
    static void add_products(const Factors<YRows>& y, int row, int rows, const BySample<XRows>& x,
                             int first, int cols, float* sum) {
        int m = 0;
        for (; m + 32 <= rows; m += 32) add_rows<2>(y, row + m, x, first, cols, sum + m * cols);
        if (m < rows) add_rows<1>(y, row + m, x, first, cols, sum + m * cols);
    }

  private:
    // Rows of a layer's input as pairs, and zeros up to the end of its last tile.
    static void pair_rows(const float* rows, const Layer& w, uint32_t* pairs) {
        const int most = w.col_tiles() * 32;
        const auto row = [&](int r) { return r < w.cols ? lanes::load(rows + r * 16) : lanes::splat(0.0f); };
        for (int r = 0; r < most; r += 2)
            _mm512_store_si512(pairs + r * 8, interleaved(row(r), row(r + 1)));
    }

    // One or two tiles of rows of two groups.
    template <int Tiles, typename Write>
    static inline void block(const Layer& w, int tile, const uint32_t* x0, const uint32_t* x1, int g,
                             Write write) {
        alignas(64) float sums[4][256];
        const uint16_t *upper = w.tiles(tile), *lower = w.tiles(tile + Tiles - 1);
        TILE_ZERO(0);
        TILE_ZERO(1);
        TILE_ZERO(2);
        TILE_ZERO(3);
        for (int k = 0; k < w.col_tiles(); ++k) {
            TILE_LOAD(4, upper + k * 512);
            TILE_LOAD(6, x0 + k * 256);
            TILE_LOAD(7, x1 + k * 256);
            TILE_MULTIPLY(0, 4, 6);
            TILE_MULTIPLY(1, 4, 7);
            if constexpr (Tiles == 2) {
                TILE_LOAD(5, lower + k * 512);
                TILE_MULTIPLY(2, 5, 6);
                TILE_MULTIPLY(3, 5, 7);
            }
        }
        TILE_STORE(0, sums[0]);
        TILE_STORE(1, sums[1]);
        if constexpr (Tiles == 2) {
            TILE_STORE(2, sums[2]);
            TILE_STORE(3, sums[3]);
        }
        for (int part = 0; part < 2 * Tiles; ++part)
#pragma GCC unroll 16
            for (int r = 0; r < 16; ++r)
                write(g + part % 2, (tile + part / 2) * 16 + r, lanes::load(sums[part] + r * 16));
    }

    template <int Tiles, int YRows, int XRows>
    static inline void add_rows(const Factors<YRows>& y, int row, const BySample<XRows>& x, int first,
                                int cols, float* sum) {
        int k = 0;
        for (; k + 32 <= cols; k += 32) add_block<Tiles, 2>(y, row, x, first + k, cols, sum + k);
        if (k < cols) add_block<Tiles, 1>(y, row, x, first + k, cols, sum + k);
    }
    // One or two tiles of rows and of columns.
    template <int Tiles, int Columns, int YRows, int XRows>
    static inline void add_block(const Factors<YRows>& y, int row, const BySample<XRows>& x, int col,
                                 int cols, float* sum) {
        const size_t bytes = static_cast<size_t>(cols) * sizeof(float);
        float* lower = sum + 16 * cols;
        TILE_LOAD_ROWS(0, sum, bytes);
        if constexpr (Columns == 2) TILE_LOAD_ROWS(1, sum + 16, bytes);
        if constexpr (Tiles == 2) TILE_LOAD_ROWS(2, lower, bytes);
        if constexpr (Tiles == 2 && Columns == 2) TILE_LOAD_ROWS(3, lower + 16, bytes);
        for (int half = 0; half < kHalves; ++half) {
            TILE_LOAD(4, y.tile(row, half));
            TILE_LOAD(6, x.tile(col, half));
            TILE_MULTIPLY(0, 4, 6);
            if constexpr (Columns == 2) {
                TILE_LOAD(7, x.tile(col + 16, half));
                TILE_MULTIPLY(1, 4, 7);
            }
            if constexpr (Tiles == 2) {
                TILE_LOAD(5, y.tile(row + 16, half));
                TILE_MULTIPLY(2, 5, 6);
            }
            if constexpr (Tiles == 2 && Columns == 2) TILE_MULTIPLY(3, 5, 7);
        }
        TILE_STORE_ROWS(0, sum, bytes);
        if constexpr (Columns == 2) TILE_STORE_ROWS(1, sum + 16, bytes);
        if constexpr (Tiles == 2) TILE_STORE_ROWS(2, lower, bytes);
        if constexpr (Tiles == 2 && Columns == 2) TILE_STORE_ROWS(3, lower + 16, bytes);
    }
};
