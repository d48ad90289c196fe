// Runs a recurrent model on a batch of sequences.
//
//     sequence MODEL
#include <cstdio>
#include <vector>

#include <wgru.hpp>

int main(int count, char **arguments) {
    if (count != 2) {
        std::fprintf(stderr, "usage: %s MODEL\n", arguments[0]);
        return 2;
    }
    try {
        const wgru::Model model = wgru::Model::open(arguments[1]);
        const std::size_t batch = 2, steps = 50, features = model.info().input_size;
        const std::vector<float> x(batch * steps * features, 0.5f);
        const wgru::Outputs outputs = model.run({wgru::tensor("x", x.data(), {batch, steps, features})});
        for (std::size_t i = 0; i < outputs.size(); ++i) {
            const WgruTensor y = outputs.at(i);
            std::printf("%s: [", y.name);
            for (std::size_t axis = 0; axis < y.rank; ++axis) std::printf(axis ? ", %zu" : "%zu", y.dims[axis]);
            std::printf("], last %g\n", y.floats[y.len - 1]);
        }
        return 0;
    } catch (const wgru::Error &error) {
        std::fprintf(stderr, "%s: %s\n", wgru_status_name(error.status()), error.what());
        return 1;
    }
}
