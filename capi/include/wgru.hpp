/* wgru in C++17: owners of the handles of wgru.h, with exceptions instead of statuses. Header only.
 *
 *     wgru::Model model = wgru::Model::open("amp.nam");
 *     wgru::Stream stream(model);
 *     stream.process(input, frames, output);
 *
 * Objects can be moved, not copied, and free what they own. Threads: as in wgru.h. In an audio callback, call the
 * functions that begin with try_: they throw nothing and allocate nothing.
 */
#ifndef WGRU_HPP
#define WGRU_HPP

#include "wgru.h"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace wgru {

/* An error of a call. what() names the operation, the argument, what was expected and what came. */
class Error : public std::runtime_error {
public:
    explicit Error(const WgruError &error) : std::runtime_error(error.message), status_(error.status) {}

    /* Kind of the error. */
    WgruStatus status() const noexcept { return status_; }

private:
    WgruStatus status_;
};

namespace detail {

/* Throws the error of a call that failed. */
inline void check(WgruStatus status, const WgruError &error) {
    if (status != WGRU_STATUS_OK) throw Error(error);
}

struct Free {
    void operator()(WgruModel *model) const noexcept { wgru_model_free(&model); }
    void operator()(WgruStream *stream) const noexcept { wgru_stream_free(&stream); }
    void operator()(WgruOutputs *outputs) const noexcept { wgru_outputs_free(&outputs); }
};

template <class Handle> using Owner = std::unique_ptr<Handle, Free>;

/* Collects the descriptions that `get` writes for each index. */
template <class Item, class Object, class Get> std::vector<Item> collect(const Object *object, std::size_t count, Get get) {
    std::vector<Item> items(count);
    for (std::size_t index = 0; index < count; ++index) {
        WgruError error;
        check(get(object, index, &items[index], &error), error);
    }
    return items;
}

}  // namespace detail

/* Returns a tensor of floats that are not copied: `data` must live as long as the tensor is used. */
inline WgruTensor tensor(const char *name, const float *data, const std::vector<std::size_t> &dims) {
    WgruTensor tensor = {};
    tensor.name = name;
    tensor.floats = data;
    tensor.len = 1;
    /* The library refuses a tensor of more axes. */
    tensor.rank = dims.size();
    for (std::size_t axis = 0; axis < dims.size(); ++axis) {
        tensor.len *= dims[axis];
        if (axis < WGRU_MAX_RANK) tensor.dims[axis] = dims[axis];
    }
    return tensor;
}

/* Returns a tensor of integers that are not copied: `data` must live as long as the tensor is used. */
inline WgruTensor tensor(const char *name, const std::int64_t *data, const std::vector<std::size_t> &dims) {
    WgruTensor result = tensor(name, static_cast<const float *>(nullptr), dims);
    result.ints = data;
    return result;
}

/* The outputs of a run. */
class Outputs {
public:
    /* Takes over a handle. */
    explicit Outputs(WgruOutputs *handle) noexcept : handle_(handle) {}

    /* Number of outputs. */
    std::size_t size() const {
        std::size_t count = 0;
        WgruError error;
        detail::check(wgru_outputs_count(handle_.get(), &count, &error), error);
        return count;
    }

    /* An output by its place, as a view that is valid as long as this object. Throws Error if there is none. */
    WgruTensor at(std::size_t index) const {
        WgruTensor tensor;
        WgruError error;
        detail::check(wgru_outputs_at(handle_.get(), index, &tensor, &error), error);
        return tensor;
    }

    /* An output by its name, as a view that is valid as long as this object. Throws Error if there is none. */
    WgruTensor at(const std::string &name) const {
        WgruTensor tensor;
        WgruError error;
        detail::check(wgru_outputs_find(handle_.get(), name.c_str(), &tensor, &error), error);
        return tensor;
    }

private:
    detail::Owner<WgruOutputs> handle_;
};

/* A model. It does not change: any threads may use it at the same time. */
class Model {
public:
    /* Loads a file of any format; see wgru_model_open. */
    static Model open(const std::string &path, const WgruModelOptions &options = {}) {
        WgruModel *handle = nullptr;
        WgruError error;
        detail::check(wgru_model_open(path.c_str(), &options, &handle, &error), error);
        return Model(handle);
    }

    /* Loads the bytes of a file; see wgru_model_load. */
    static Model load(const std::uint8_t *bytes, std::size_t length, const WgruModelOptions &options = {}) {
        WgruModel *handle = nullptr;
        WgruError error;
        detail::check(wgru_model_load(bytes, length, &options, &handle, &error), error);
        return Model(handle);
    }

    /* Takes over a handle. */
    explicit Model(WgruModel *handle) noexcept : handle_(handle) {}

    WgruModelInfo info() const {
        WgruModelInfo info;
        WgruError error;
        detail::check(wgru_model_info(handle_.get(), &info, &error), error);
        return info;
    }

    /* The recurrent layers. Names are valid as long as the model. */
    std::vector<WgruLayer> layers() const {
        return detail::collect<WgruLayer>(handle_.get(), info().layer_count, wgru_model_layer);
    }

    /* The inputs. Names are valid as long as the model. */
    std::vector<WgruPort> inputs() const {
        return detail::collect<WgruPort>(handle_.get(), info().input_count, wgru_model_input);
    }

    /* The outputs. Names are valid as long as the model. */
    std::vector<WgruPort> outputs() const {
        return detail::collect<WgruPort>(handle_.get(), info().output_count, wgru_model_output);
    }

    /* Runs whole sequences; see wgru_model_run. */
    Outputs run(const std::vector<WgruTensor> &inputs) const {
        WgruOutputs *outputs = nullptr;
        WgruError error;
        detail::check(wgru_model_run(handle_.get(), inputs.data(), inputs.size(), &outputs, &error), error);
        return Outputs(outputs);
    }

    /* The handle, which still belongs to this object. */
    const WgruModel *get() const noexcept { return handle_.get(); }

private:
    detail::Owner<WgruModel> handle_;
};

/* A model that runs frame by frame, in one thread at a time. */
class Stream {
public:
    /* See wgru_stream_new. The model may be freed before the stream. */
    explicit Stream(const Model &model, const WgruStreamOptions &options = {}) {
        WgruStream *handle = nullptr;
        WgruError error;
        detail::check(wgru_stream_new(model.get(), &options, &handle, &error), error);
        handle_.reset(handle);
        detail::check(wgru_stream_info(handle, &info_, &error), error);
    }

    const WgruStreamInfo &info() const noexcept { return info_; }

    /* Runs `frames` frames of info().input_size floats. Writes as many outputs of info().output_size floats. */
    void process(const float *input, std::size_t frames, float *output) {
        WgruError error;
        detail::check(try_process(input, frames, output, &error), error);
    }

    /* Like process, for audio callbacks. `error` may be null. */
    WgruStatus try_process(const float *input, std::size_t frames, float *output, WgruError *error = nullptr) noexcept {
        return wgru_stream_process(handle_.get(), input, frames * info_.input_size, output, frames * info_.output_size,
                                   error);
    }

    /* Runs one frame, and returns its output. */
    std::vector<float> step(const std::vector<float> &frame) {
        std::vector<float> output(info_.output_size);
        WgruError error;
        detail::check(wgru_stream_step(handle_.get(), frame.data(), frame.size(), output.data(), output.size(), &error),
                      error);
        return output;
    }

    /* Returns to the initial state. */
    void reset() {
        WgruError error;
        detail::check(try_reset(&error), error);
    }

    /* Like reset, for audio callbacks. `error` may be null. */
    WgruStatus try_reset(WgruError *error = nullptr) noexcept { return wgru_stream_reset(handle_.get(), error); }

    /* Copies the state. */
    std::vector<float> snapshot() const {
        std::vector<float> state(info_.state_size);
        WgruError error;
        detail::check(wgru_stream_snapshot(handle_.get(), state.data(), state.size(), &error), error);
        return state;
    }

    /* Continues from a copy of a state. */
    void restore(const std::vector<float> &state) {
        WgruError error;
        detail::check(wgru_stream_restore(handle_.get(), state.data(), state.size(), &error), error);
    }

    /* The handle, which still belongs to this object. */
    WgruStream *get() noexcept { return handle_.get(); }

private:
    detail::Owner<WgruStream> handle_;
    WgruStreamInfo info_ = {};
};

/* Version of the library that runs. */
inline std::string version() { return wgru_version(); }

}  // namespace wgru

#endif  /* WGRU_HPP */
