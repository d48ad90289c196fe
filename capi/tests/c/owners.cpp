// Uses the C++ wrapper: values, moves, exceptions, and objects that outlive each other.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <wgru.hpp>

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            std::fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);                            \
            std::exit(1);                                                                                             \
        }                                                                                                             \
    } while (0)

static_assert(!std::is_copy_constructible_v<wgru::Model> && std::is_nothrow_move_constructible_v<wgru::Model>);
static_assert(!std::is_copy_constructible_v<wgru::Stream> && std::is_nothrow_move_constructible_v<wgru::Stream>);
static_assert(!std::is_copy_constructible_v<wgru::Outputs> && std::is_nothrow_move_constructible_v<wgru::Outputs>);

template <class Call> void expect(WgruStatus status, Call call) {
    try {
        call();
    } catch (const wgru::Error &error) {
        CHECK(error.status() == status && std::strlen(error.what()) > 0);
        return;
    }
    std::fprintf(stderr, "expected an exception: %s\n", wgru_status_name(status));
    std::exit(1);
}

static wgru::Stream stream_of_a_model_that_is_gone(const std::string &path) {
    return wgru::Stream(wgru::Model::open(path));
}

int main(int count, char **arguments) {
    if (count != 2) return 2;
    const std::string folder = std::string(arguments[1]) + "/";
    CHECK(wgru::version() == wgru_version());

    wgru::Model model = wgru::Model::open(folder + "gru.safetensors");
    CHECK(model.info().input_size == 3 && model.layers().size() == 1 && model.layers()[0].stack == 2);
    CHECK(std::string(model.inputs()[0].name) == "x" && model.outputs().size() == 2);
    std::ifstream file(folder + "gru.safetensors", std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    wgru::Model same = wgru::Model::load(reinterpret_cast<const std::uint8_t *>(bytes.data()), bytes.size());
    CHECK(same.info().parameter_count == model.info().parameter_count);

    std::vector<float> x(60, 0.25f);
    const std::int64_t length = 7;
    const WgruTensor input = wgru::tensor("x", x.data(), {1, 20, 3});
    wgru::Outputs outputs = model.run({input, wgru::tensor("lengths", &length, {1})});
    const WgruTensor y = outputs.at("y");
    CHECK(outputs.size() == 2 && y.len == 160 && y.floats[159] == 0.0f && y.floats[48] != 0.0f);

    wgru::Stream stream = stream_of_a_model_that_is_gone(folder + "gru.safetensors");
    std::vector<float> blocks(160);
    stream.process(x.data(), 20, blocks.data());
    const std::vector<float> state = stream.snapshot();
    CHECK(state.size() == stream.info().state_size);
    stream.reset();
    wgru::Stream moved = std::move(stream);
    for (std::size_t t = 0; t < 20; ++t) {
        const std::vector<float> row = moved.step({0.25f, 0.25f, 0.25f});
        CHECK(std::memcmp(row.data(), &blocks[8 * t], 8 * sizeof(float)) == 0);
    }
    CHECK(moved.snapshot() == state);
    moved.reset();
    moved.restore(state);
    CHECK(moved.snapshot() == state);
    CHECK(moved.try_reset() == WGRU_STATUS_OK);

    // What was moved away holds a null handle, which every call refuses.
    expect(WGRU_STATUS_HANDLE, [&] { stream.reset(); });
    CHECK(stream.try_process(x.data(), 20, blocks.data()) == WGRU_STATUS_HANDLE);
    moved = stream_of_a_model_that_is_gone(folder + "rtneural.json");
    expect(WGRU_STATUS_SHAPE, [&] { moved.step({}); });
    expect(WGRU_STATUS_IO, [&] { wgru::Model::open(folder + "nobody"); });
    expect(WGRU_STATUS_FORMAT, [&] { wgru::Model::load(nullptr, 0); });
    expect(WGRU_STATUS_UNSUPPORTED, [&] { wgru::Stream(wgru::Model::open(folder + "both.safetensors")); });
    expect(WGRU_STATUS_VALUE, [&] { outputs.at("nobody"); });
    expect(WGRU_STATUS_VALUE, [&] { outputs.at(2); });
    expect(WGRU_STATUS_VALUE, [&] { model.run({}); });
    expect(WGRU_STATUS_VALUE, [&] { model.run({wgru::tensor("x", x.data(), std::vector<std::size_t>(9, 1))}); });
    std::puts("all checks passed");
    return 0;
}
