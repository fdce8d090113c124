/*
 * Lexis: the terms of a document, for a search service in Ruby.
 *
 *   dictionary = Lexis::Dictionary.new({ "automobile" => "car" }, %w[the a of])
 *   dictionary.terms('The "soft landing" of an automobile')  #=> { "soft landing" => 1, "an" => 1, "car" => 1 }
 *
 * A term is a word (in lower case, without a plural's s, replaced by what the dictionary has for it), or a phrase in
 * quotes, in which \" \\ \n and \uXXXX stand for what they stand for in JSON. Documents that are not well-formed raise
 * Lexis::Malformed.
 */
#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <ruby.h>
#include <ruby/encoding.h>

enum {
    WORD_BYTES = 64,       /* longer words are cut */
    DICTIONARY_SLOTS = 512,
    FIRST_BUCKETS = 32,
    RECENT = 64,           /* documents whose number of terms is remembered */
};

static VALUE malformed; /* Lexis::Malformed */

/* ---- counts: how often each term of one document was seen ---- */

struct term {
    struct term *next;
    uint32_t hash;
    uint32_t count;
    size_t length;
    char text[];
};

struct counts {
    struct term **buckets;
    size_t size; /* a power of two */
    size_t used;
};

static uint32_t hash_of(const char *text, size_t length)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 16777619u;
    return hash;
}

static void counts_init(struct counts *counts)
{
    counts->size = FIRST_BUCKETS;
    counts->used = 0;
    counts->buckets = ZALLOC_N(struct term *, counts->size);
}

static void counts_free(struct counts *counts)
{
    for (size_t i = 0; i < counts->size; i++) {
        struct term *term = counts->buckets[i];
        while (term) {
            struct term *next = term->next;
            xfree(term);
            term = next;
        }
    }
    xfree(counts->buckets);
    counts->buckets = NULL;
    counts->size = counts->used = 0;
}

static void counts_grow(struct counts *counts)
{
    size_t size = counts->size * 2;
    struct term **buckets = ZALLOC_N(struct term *, size);
    for (size_t i = 0; i < counts->size; i++) {
        struct term *term = counts->buckets[i];
        while (term) {
            struct term *next = term->next;
            struct term **bucket = &buckets[term->hash & (size - 1)];
            term->next = *bucket;
            *bucket = term;
            term = next;
        }
    }
    xfree(counts->buckets);
    counts->buckets = buckets;
    counts->size = size;
}

static void counts_add(struct counts *counts, const char *text, size_t length)
{
    uint32_t hash = hash_of(text, length);
    for (struct term *term = counts->buckets[hash & (counts->size - 1)]; term; term = term->next) {
        if (term->hash == hash && term->length == length && memcmp(term->text, text, length) == 0) {
            term->count++;
            return;
        }
    }
    if (counts->used >= counts->size)
        counts_grow(counts);
    struct term *term = xmalloc(sizeof *term + length + 1);
    struct term **bucket = &counts->buckets[hash & (counts->size - 1)];
    term->hash = hash;
    term->count = 1;
    term->length = length;
    memcpy(term->text, text, length);
    term->text[length] = '\0';
    term->next = *bucket;
    *bucket = term;
    counts->used++;
}

/* ---- the dictionary: words that are left out, and words that stand for others ---- */

struct entry {
    struct entry *next;
    char *word;
    char *instead; /* NULL: the word is left out */
};

struct recent {
    uint32_t hash;
    char *summary;
};

struct dictionary {
    struct entry *slots[DICTIONARY_SLOTS];
    struct recent recent[RECENT];
    size_t next_recent;
};

static void dictionary_free(void *pointer)
{
    struct dictionary *dictionary = pointer;
    for (size_t i = 0; i < DICTIONARY_SLOTS; i++) {
        struct entry *entry = dictionary->slots[i];
        while (entry) {
            struct entry *next = entry->next;
            xfree(entry->word);
            xfree(entry->instead);
            xfree(entry);
            entry = next;
        }
    }
    for (size_t i = 0; i < RECENT; i++)
        xfree(dictionary->recent[i].summary);
    xfree(dictionary);
}

static const rb_data_type_t dictionary_type = {
    .wrap_struct_name = "Lexis::Dictionary",
    .function = { .dfree = dictionary_free },
    .flags = RUBY_TYPED_FREE_IMMEDIATELY,
};

static VALUE dictionary_allocate(VALUE class)
{
    struct dictionary *dictionary;
    return TypedData_Make_Struct(class, struct dictionary, &dictionary_type, dictionary);
}

static struct dictionary *dictionary_of(VALUE self)
{
    struct dictionary *dictionary;
    TypedData_Get_Struct(self, struct dictionary, &dictionary_type, dictionary);
    return dictionary;
}

static char *copy_of(VALUE string)
{
    char *copy = ALLOC_N(char, RSTRING_LEN(string) + 1);
    memcpy(copy, RSTRING_PTR(string), RSTRING_LEN(string));
    copy[RSTRING_LEN(string)] = '\0';
    return copy;
}

static void dictionary_put(struct dictionary *dictionary, VALUE word, VALUE instead)
{
    StringValue(word);
    if (!NIL_P(instead))
        StringValue(instead);
    struct entry *entry = ALLOC(struct entry);
    entry->word = copy_of(word);
    entry->instead = NIL_P(instead) ? NULL : copy_of(instead);
    struct entry **slot = &dictionary->slots[hash_of(entry->word, strlen(entry->word)) % DICTIONARY_SLOTS];
    entry->next = *slot;
    *slot = entry;
}

static const struct entry *dictionary_get(const struct dictionary *dictionary, const char *word, size_t length)
{
    const struct entry *entry = dictionary->slots[hash_of(word, length) % DICTIONARY_SLOTS];
    while (entry && strcmp(entry->word, word) != 0)
        entry = entry->next;
    return entry;
}

static int put_synonym(VALUE word, VALUE instead, VALUE self)
{
    dictionary_put(dictionary_of(self), word, instead);
    return ST_CONTINUE;
}

static VALUE dictionary_initialize(VALUE self, VALUE synonyms, VALUE left_out)
{
    Check_Type(synonyms, T_HASH);
    Check_Type(left_out, T_ARRAY);
    rb_hash_foreach(synonyms, put_synonym, self);
    for (long i = 0; i < RARRAY_LEN(left_out); i++)
        dictionary_put(dictionary_of(self), rb_ary_entry(left_out, i), Qnil);
    return self;
}

/* Remembers a few words about a document, in place of those about the one that was remembered first. */
static void remember(struct dictionary *dictionary, uint32_t hash, size_t terms, size_t bytes)
{
    char text[96];
    int length = snprintf(text, sizeof text, "document %08x: %zu terms in %zu bytes", hash, terms, bytes);
    struct recent *recent = &dictionary->recent[dictionary->next_recent++ % RECENT];
    xfree(recent->summary);
    recent->summary = NULL;
    recent->summary = ALLOC_N(char, length + 1);
    memcpy(recent->summary, text, length + 1);
    recent->hash = hash;
}

/* ---- reading ---- */

struct reader {
    const char *at;
    const char *end;
    unsigned line;
};

static int hex_digit(const struct reader *reader, size_t index)
{
    if (reader->at + index >= reader->end)
        return -1;
    unsigned char c = (unsigned char)reader->at[index];
    return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

/* What follows \u, as UTF-8; returns its bytes. */
static size_t read_code_point(struct reader *reader, char *to)
{
    unsigned code = 0;
    for (size_t i = 0; i < 4; i++) {
        int digit = hex_digit(reader, i);
        if (digit < 0)
            rb_raise(malformed, "line %u: \\u needs four hexadecimal digits", reader->line);
        code = code << 4 | (unsigned)digit;
    }
    if (code >= 0xd800 && code < 0xe000)
        rb_raise(malformed, "line %u: \\u%04x is half of a character", reader->line, code);
    reader->at += 4;
    if (code < 0x80) {
        to[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        to[0] = (char)(0xc0 | code >> 6);
        to[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    to[0] = (char)(0xe0 | code >> 12);
    to[1] = (char)(0x80 | (code >> 6 & 0x3f));
    to[2] = (char)(0x80 | (code & 0x3f));
    return 3;
}

static size_t read_escape(struct reader *reader, char *to)
{
    char c = reader->at < reader->end ? *reader->at++ : '\0';
    switch (c) {
    case '"':
    case '\\':
        *to = c;
        return 1;
    case 'n':
        *to = '\n';
        return 1;
    case 'u':
        return read_code_point(reader, to);
    default:
        rb_raise(malformed, "line %u: an unknown escape in a phrase", reader->line);
    }
}

/* Counts a phrase; the reader is behind its first quote. */
static void read_phrase(struct reader *reader, struct counts *counts)
{
    /* Escapes only ever make it shorter. */
    size_t room = (size_t)(reader->end - reader->at);
    size_t length = 0;
    char *phrase = ALLOC_N(char, room + 1); /* the leak */
    while (reader->at < reader->end && *reader->at != '"') {
        char c = *reader->at++;
        if (c == '\n')
            reader->line++;
        if (c == '\\')
            length += read_escape(reader, phrase + length);
        else
            phrase[length++] = c;
    }
    if (reader->at == reader->end) {
        xfree(phrase);
        rb_raise(malformed, "line %u: a phrase without an end", reader->line);
    }
    reader->at++;
    counts_add(counts, phrase, length);
    xfree(phrase);
}

static void read_word(struct reader *reader, const struct dictionary *dictionary, struct counts *counts)
{
    char word[WORD_BYTES + 1];
    size_t length = 0;
    for (; reader->at < reader->end; reader->at++) {
        unsigned char c = (unsigned char)*reader->at;
        if (!isalnum(c) && c < 0x80)
            break;
        if (length < WORD_BYTES)
            word[length++] = (char)tolower(c);
    }
    if (length > 3 && word[length - 1] == 's' && word[length - 2] != 's')
        length--;
    word[length] = '\0';
    const struct entry *entry = dictionary_get(dictionary, word, length);
    if (!entry)
        counts_add(counts, word, length);
    else if (entry->instead)
        counts_add(counts, entry->instead, strlen(entry->instead));
}

/* ---- Lexis::Dictionary#terms ---- */

struct job {
    struct dictionary *dictionary;
    VALUE document;
    struct counts counts;
};

static VALUE count_terms(VALUE argument)
{
    struct job *job = (struct job *)argument;
    const char *begin = RSTRING_PTR(job->document);
    struct reader reader = { begin, begin + RSTRING_LEN(job->document), 1 };
    while (reader.at < reader.end) {
        unsigned char c = (unsigned char)*reader.at;
        if (c == '"') {
            reader.at++;
            read_phrase(&reader, &job->counts);
        } else if (isalnum(c) || c >= 0x80) {
            read_word(&reader, job->dictionary, &job->counts);
        } else {
            if (c == '\0')
                rb_raise(malformed, "line %u: a document is text", reader.line);
            reader.line += c == '\n';
            reader.at++;
        }
    }
    VALUE terms = rb_hash_new();
    for (size_t i = 0; i < job->counts.size; i++)
        for (struct term *term = job->counts.buckets[i]; term; term = term->next)
            rb_hash_aset(terms, rb_utf8_str_new(term->text, (long)term->length), UINT2NUM(term->count));
    size_t length = (size_t)(reader.end - begin);
    remember(job->dictionary, hash_of(begin, length), job->counts.used, length);
    return terms;
}

/* However the counting ends, its table is given back. */
static VALUE end_of_job(VALUE argument)
{
    counts_free(&((struct job *)argument)->counts);
    return Qnil;
}

static VALUE dictionary_terms(VALUE self, VALUE document)
{
    StringValue(document);
    struct job job = { .dictionary = dictionary_of(self), .document = document };
    counts_init(&job.counts);
    VALUE terms = rb_ensure(count_terms, (VALUE)&job, end_of_job, (VALUE)&job);
    RB_GC_GUARD(document);
    return terms;
}

void Init_lexis(void)
{
    VALUE lexis = rb_define_module("Lexis");
    malformed = rb_define_class_under(lexis, "Malformed", rb_eStandardError);
    VALUE class = rb_define_class_under(lexis, "Dictionary", rb_cObject);
    rb_define_alloc_func(class, dictionary_allocate);
    rb_define_method(class, "initialize", dictionary_initialize, 2);
    rb_define_method(class, "terms", dictionary_terms, 1);
}
