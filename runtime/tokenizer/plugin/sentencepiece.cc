// SentencePiece behind a C interface. The only C++ of the project, because that library has no other door; exceptions stop here.
#include "tokenizer/sentencepiece_plugin.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

using sentencepiece::SentencePieceProcessor;
using sentencepiece::SentencePieceTrainer;

constexpr size_t kSentenceBytes = 4000; // the trainer skips longer ones (max_sentence_length 4192)

bool refuse(char *reason, const std::string &text)
{
    std::snprintf(reason, SENTENCEPIECE_REASON, "%s", text.c_str());
    return false;
}

// Runs `body`, whose status or exception becomes the reason.
template <typename Body> bool guarded(char *reason, Body body)
{
    try {
        return body();
    } catch (const std::exception &problem) {
        return refuse(reason, problem.what());
    } catch (...) {
        return refuse(reason, "unknown problem");
    }
}

bool open_model(const void *model, size_t bytes, void **processor, int64_t *vocab, char *reason)
{
    return guarded(reason, [&] {
        auto opened = std::make_unique<SentencePieceProcessor>();
        const auto status = opened->LoadFromSerializedProto({static_cast<const char *>(model), bytes});
        if (!status.ok())
            return refuse(reason, status.ToString());
        *vocab = opened->GetPieceSize();
        *processor = opened.release();
        return true;
    });
}

void close_model(void *processor) { delete static_cast<SentencePieceProcessor *>(processor); }

bool encode(const void *processor, const char *text, size_t bytes, SentencepieceSink sink, void *context, char *reason)
{
    return guarded(reason, [&] {
        std::vector<int> ids;
        const auto status = static_cast<const SentencePieceProcessor *>(processor)->Encode({text, bytes}, &ids);
        static_assert(sizeof(int) == sizeof(int32_t), "ids go out as they are");
        return status.ok() ? sink(context, ids.data(), ids.size() * sizeof(int)) : refuse(reason, status.ToString());
    });
}

bool decode(const void *processor, const int32_t *ids, size_t count, SentencepieceSink sink, void *context, char *reason)
{
    return guarded(reason, [&] {
        std::string text;
        const auto status = static_cast<const SentencePieceProcessor *>(processor)->Decode(std::vector<int>(ids, ids + count), &text);
        return status.ok() ? sink(context, text.data(), text.size()) : refuse(reason, status.ToString());
    });
}

// A byte is one, a control symbol none, and what the unknown id stands for is not in the model; U+2581 stands for a space.
bool sizes(const void *processor, int32_t *sizes, char *reason)
{
    return guarded(reason, [&] {
        const auto &opened = *static_cast<const SentencePieceProcessor *>(processor);
        static const std::string kSpace = "\xE2\x96\x81";
        for (int id = 0; id < opened.GetPieceSize(); id++) {
            const std::string &piece = opened.IdToPiece(id);
            size_t bytes = piece.size();
            for (size_t at = piece.find(kSpace); at != std::string::npos; at = piece.find(kSpace, at + kSpace.size()))
                bytes -= kSpace.size() - 1;
            sizes[id] = opened.IsUnknown(id) ? -1 : opened.IsControl(id) || opened.IsUnused(id) ? 0 : opened.IsByte(id) ? 1 : static_cast<int32_t>(bytes);
        }
        return true;
    });
}

// Lines of the texts, over-long ones in pieces that end between characters. Line ends are a symbol of their own, not part of any sentence.
class Lines : public sentencepiece::SentenceIterator {
  public:
    Lines(SentencepieceSource source, void *context) : source_(source), context_(context) { Next(); }
    bool done() const override { return done_; }
    const std::string &value() const override { return line_; }
    sentencepiece::util::Status status() const override { return {}; }
    void Next() override
    {
        do {
            while (at_ == bytes_) {
                at_ = bytes_ = 0;
                if (!source_(context_, &text_, &bytes_)) {
                    done_ = true;
                    return;
                }
            }
            size_t end = at_;
            while (end < bytes_ && text_[end] != '\n' && end - at_ < kSentenceBytes)
                end++;
            while (end < bytes_ && (static_cast<unsigned char>(text_[end]) & 0xC0) == 0x80)
                end++;
            line_.assign(text_ + at_, end - at_);
            at_ = end + (end < bytes_ && text_[end] == '\n');
        } while (line_.empty());
    }

  private:
    SentencepieceSource source_;
    void *context_;
    const char *text_ = nullptr;
    size_t at_ = 0, bytes_ = 0;
    bool done_ = false;
    std::string line_;
};

// Byte fallback and no normalisation: text comes back as it was. BPE on one thread: counts only, the same model every time.
bool train(int64_t vocab, SentencepieceSource source, void *source_context, SentencepieceSink sink, void *context, char *reason)
{
    return guarded(reason, [&] {
        const std::unordered_map<std::string, std::string> options = {
            {"model_type", "bpe"},           {"vocab_size", std::to_string(vocab)},
            {"byte_fallback", "true"},       {"normalization_rule_name", "identity"},
            {"add_dummy_prefix", "false"},   {"remove_extra_whitespaces", "false"},
            {"character_coverage", "1.0"},   {"user_defined_symbols", "\n"},
            {"unk_id", "0"},                 {"bos_id", "-1"},
            {"eos_id", "-1"},                {"pad_id", "-1"},
            {"num_threads", "1"},            {"minloglevel", "2"},
            {"hard_vocab_limit", "true"},
        };
        Lines lines(source, source_context);
        std::string model;
        const auto status = SentencePieceTrainer::Train(options, &lines, &model);
        return status.ok() ? sink(context, model.data(), model.size()) : refuse(reason, status.ToString());
    });
}

} // namespace

extern "C" __attribute__((visibility("default"))) const SentencepiecePlugin bfm_sentencepiece_plugin;
const SentencepiecePlugin bfm_sentencepiece_plugin = {SENTENCEPIECE_PLUGIN_VERSION, open_model, close_model, encode, decode, train, sizes};
