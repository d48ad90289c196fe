// Layers of RTNeural with one input and one output for steps.mjs, as a WebAssembly module:
//
//   emcc -std=c++17 -O3 -ffast-math -fno-exceptions -msimd128 -msse4.2 -DRTNEURAL_USE_EIGEN=1 \
//     -DRTNEURAL_DEFAULT_ALIGNMENT=16 -IRTNEURAL -IRTNEURAL/modules/Eigen web/bench/rtneural.cpp -o rtneural.wasm \
//     --no-entry -sSTANDALONE_WASM=1 -sEXPORTED_FUNCTIONS=_make,_step,_block,_input
//
// RTNEURAL is a checkout of https://github.com/jatinchowdhury18/RTNeural. The times do not depend on the weights.
#include <RTNeural/RTNeural.h>

#include <memory>
#include <random>
#include <vector>

namespace {

constexpr int BLOCK = 128;
float samples[BLOCK], outputs[BLOCK];

struct Steps {
    virtual ~Steps() = default;
    virtual float step(float x) = 0;
    virtual void block(int count) = 0;
};

using Matrix = std::vector<std::vector<float>>;

/// `Layer` and a linear layer of one output, with random weights.
template <class Layer, int H>
struct Network : Steps {
    RTNeural::ModelT<float, 1, 1, Layer, RTNeural::DenseT<float, H, 1>> model;
    std::mt19937 bits;

    Matrix uniform(int rows, int columns) {
        const float most = 1 / std::sqrt(float(H));
        std::uniform_real_distribution<float> value(-most, most);
        Matrix matrix(rows, std::vector<float>(columns));
        for (auto& row : matrix)
            for (auto& v : row) v = value(bits);
        return matrix;
    }

    Layer& layer(int gates) {
        auto& layer = model.template get<0>();
        layer.setWVals(uniform(1, gates * H));
        layer.setUVals(uniform(H, gates * H));
        auto& dense = model.template get<1>();
        const float bias = 0;
        dense.setWeights(uniform(1, H));
        dense.setBias(&bias);
        return layer;
    }

    float step(float x) override {
        alignas(16) const float frame[4] = {x};
        return model.forward(frame);
    }

    void block(int count) override {
        for (int i = 0; i < count; ++i) outputs[i] = step(samples[i]);
    }
};

template <int H>
struct Gru final : Network<RTNeural::GRULayerT<float, 1, H>, H> {
    Gru() { this->layer(3).setBVals(this->uniform(2, 3 * H)); this->model.reset(); }
};

template <int H>
struct Lstm final : Network<RTNeural::LSTMLayerT<float, 1, H>, H> {
    Lstm() { this->layer(4).setBVals(this->uniform(1, 4 * H)[0]); this->model.reset(); }
};

std::unique_ptr<Steps> current;

template <int H>
bool make_if(int cell, int units) {
    if (units != H) return false;
    if (cell == 0)
        current = std::make_unique<Gru<H>>();
    else
        current = std::make_unique<Lstm<H>>();
    return true;
}

}  // namespace

extern "C" {

/// Selects the network: `cell` is 0 for a GRU, 1 for an LSTM. Returns 0 for a number of units that is not compiled.
int make(int cell, int units) {
    return make_if<8>(cell, units) || make_if<12>(cell, units) || make_if<16>(cell, units) || make_if<20>(cell, units) ||
        make_if<24>(cell, units) || make_if<32>(cell, units) || make_if<40>(cell, units) || make_if<64>(cell, units);
}

float step(float x) { return current->step(x); }

/// Runs `count` steps on the first samples at `input()`, at most 128.
void block(int count) { current->block(count); }

float* input() { return samples; }
}
