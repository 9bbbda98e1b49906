// SentencePiece behind a C interface. The only C++ of the project, because that library has no other door; exceptions stop here.
#include "tokenizer/sentencepiece_plugin.h"

extern "C" {
#include "file/utf8.h"
}

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace {

using sentencepiece::SentencePieceProcessor;
using sentencepiece::SentencePieceTrainer;

constexpr size_t kSentenceBytes = 4000;       // the trainer skips longer ones (max_sentence_length 4192)
constexpr int64_t kOwnPieces = 1 + 256 + 1 + 1; // <unk>, the bytes, the line end, the space

bool refuse(char *reason, const std::string &text)
{
    std::snprintf(reason, SENTENCEPIECE_REASON, "%s", text.c_str());
    return false;
}

// "Internal: src/file.cc(7) [condition] what is wrong": the place in the library's source helps nobody.
bool refuse(char *reason, const sentencepiece::util::Status &status)
{
    const std::string text = status.error_message();
    const size_t place = text.find(".cc("), condition = place == std::string::npos ? place : text.find("] ", place);
    const std::string plain = condition == std::string::npos ? place == std::string::npos ? text : std::string() : text.substr(condition + 2);
    return refuse(reason, plain.find_first_not_of(' ') == std::string::npos ? std::string("it does not have the form of one") : plain);
}

// `new` throws where the command would end: the caller says what was made.
struct Throwing {
    std::new_handler before = std::set_new_handler(nullptr);
    Throwing() = default;
    Throwing(const Throwing &) = delete;
    Throwing &operator=(const Throwing &) = delete;
    ~Throwing() { std::set_new_handler(before); }
};

// Runs `body`, whose status or exception becomes the reason.
template <typename Body> bool guarded(char *reason, Body body)
{
    const Throwing throwing;
    try {
        return body();
    } catch (const std::bad_alloc &) {
        std::snprintf(reason, SENTENCEPIECE_REASON, "%s", SENTENCEPIECE_NO_MEMORY);
        return false;
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
            return refuse(reason, status);
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
        return status.ok() ? sink(context, ids.data(), ids.size() * sizeof(int)) : refuse(reason, status);
    });
}

bool decode(const void *processor, const int32_t *ids, size_t count, SentencepieceSink sink, void *context, char *reason)
{
    return guarded(reason, [&] {
        std::string text;
        const auto status = static_cast<const SentencePieceProcessor *>(processor)->Decode(std::vector<int>(ids, ids + count), &text);
        return status.ok() ? sink(context, text.data(), text.size()) : refuse(reason, status);
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

SentencepiecePiece piece(const void *processor, int32_t id)
{
    const auto *opened = static_cast<const SentencePieceProcessor *>(processor);
    const std::string &text = opened->IdToPiece(id);
    const SentencepieceType type = opened->IsByte(id)      ? SENTENCEPIECE_BYTE
                                   : opened->IsControl(id) ? SENTENCEPIECE_CONTROL
                                   : opened->IsUnknown(id) ? SENTENCEPIECE_UNKNOWN
                                                           : SENTENCEPIECE_TEXT;
    return {text.data(), text.size(), type};
}

void ends(const void *processor, int32_t *begin, int32_t *end)
{
    const auto *opened = static_cast<const SentencePieceProcessor *>(processor);
    *begin = opened->bos_id();
    *end = opened->eos_id();
}

using Characters = std::vector<bool>; // by code point

constexpr int32_t kCharacters = 0x110000;

// The code point that begins at `at`, which moves behind it; -1 for what the trainer must not see: bytes that are no character, line ends, which are a
// symbol of their own, and the characters that it uses itself (NUL, tab, U+2581, U+2585).
int32_t next_character(std::string_view text, size_t *at)
{
    BfmUtf8 kind;
    const size_t bytes = bfm_utf8_next(text.data() + *at, text.size() - *at, &kind);
    const int32_t code = kind == BFM_UTF8_WHOLE ? bfm_utf8_code(text.data() + *at, bytes) : -1;
    *at += bytes;
    return code == 0 || code == '\t' || code == '\n' || code == 0x2581 || code == 0x2585 ? -1 : code;
}

// The characters of the texts, the most frequent first, of equals the lower code point: the same order every time.
std::vector<size_t> ranked_characters(const std::vector<std::string_view> &texts)
{
    std::vector<int64_t> counts(kCharacters);
    for (const auto &text : texts)
        for (size_t at = 0; at < text.size();)
            if (const int32_t code = next_character(text, &at); code >= 0)
                counts[static_cast<size_t>(code)]++;
    std::vector<size_t> ranked;
    for (size_t code = 0; code < counts.size(); code++)
        if (counts[code] > 0)
            ranked.push_back(code);
    std::stable_sort(ranked.begin(), ranked.end(), [&](size_t a, size_t b) { return counts[a] > counts[b]; });
    return ranked;
}

// Runs of characters that get a piece, one line's at most. The first is a space, so that there is always one.
class Sentences : public sentencepiece::SentenceIterator {
  public:
    Sentences(const std::vector<std::string_view> &texts, const Characters &kept) : texts_(texts), kept_(kept) {}
    bool done() const override { return done_; }
    const std::string &value() const override { return sentence_; }
    sentencepiece::util::Status status() const override { return {}; }
    void Next() override
    {
        sentence_.clear();
        for (; text_ < texts_.size(); text_++, at_ = 0)
            if (next_of(texts_[text_]))
                return;
        done_ = true;
    }

  private:
    bool next_of(std::string_view text)
    {
        while (at_ < text.size()) {
            const size_t from = at_;
            const int32_t code = next_character(text, &at_);
            const bool kept = code >= 0 && kept_[static_cast<size_t>(code)];
            if (kept)
                sentence_.append(text.substr(from, at_ - from));
            if (!sentence_.empty() && (!kept || sentence_.size() >= kSentenceBytes))
                return true;
        }
        return !sentence_.empty();
    }

    const std::vector<std::string_view> &texts_;
    const Characters &kept_;
    std::string sentence_ = " ";
    size_t text_ = 0, at_ = 0;
    bool done_ = false;
};

// Byte fallback and no normalisation: text comes back as it was. BPE on one thread: counts only, the same model every time.
sentencepiece::util::Status train_on(const std::vector<std::string_view> &texts, const Characters &kept, int64_t vocab, std::string *model)
{
    const std::unordered_map<std::string, std::string> options = {
        {"model_type", "bpe"},           {"vocab_size", std::to_string(vocab)},
        {"byte_fallback", "true"},       {"normalization_rule_name", "identity"},
        {"add_dummy_prefix", "false"},   {"remove_extra_whitespaces", "false"},
        {"character_coverage", "1.0"},   {"user_defined_symbols", "\n"},
        {"unk_id", "0"},                 {"bos_id", "-1"},
        {"eos_id", "-1"},                {"pad_id", "-1"},
        {"num_threads", "1"},            {"minloglevel", "3"},
        {"hard_vocab_limit", "false"},
    };
    Sentences sentences(texts, kept);
    return SentencePieceTrainer::Train(options, &sentences, model);
}

// The most frequent characters get a piece and bytes stand for the others. A quarter of the vocabulary is left to longer pieces, as far as the texts give any.
bool train(int64_t vocab, SentencepieceSource source, void *source_context, SentencepieceSink sink, void *context, char *reason)
{
    return guarded(reason, [&] {
        std::vector<std::string_view> texts;
        const char *text;
        size_t bytes;
        while (source(source_context, &text, &bytes))
            texts.emplace_back(text, bytes);
        const auto ranked = ranked_characters(texts);
        const size_t most = std::min(ranked.size(), static_cast<size_t>(vocab - kOwnPieces));
        Characters kept(kCharacters);
        for (size_t count = 0, more = std::min(most, static_cast<size_t>(vocab - kOwnPieces) * 3 / 4);;) {
            for (; more > 0 && count < most; more--)
                kept[ranked[count++]] = true;
            std::string model;
            SentencePieceProcessor trained;
            const auto status = train_on(texts, kept, vocab, &model);
            if (!status.ok())
                return refuse(reason, status);
            if (count == most || !trained.LoadFromSerializedProto(model).ok() || trained.GetPieceSize() >= vocab)
                return sink(context, model.data(), model.size());
            more = static_cast<size_t>(vocab - trained.GetPieceSize());
        }
    });
}

} // namespace

extern "C" __attribute__((visibility("default"))) const SentencepiecePlugin bfm_sentencepiece_plugin;
const SentencepiecePlugin bfm_sentencepiece_plugin = {SENTENCEPIECE_PLUGIN_VERSION, open_model, close_model, encode, decode, piece, ends, train, sizes};
