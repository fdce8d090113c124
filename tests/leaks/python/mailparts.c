/*
 * mailparts: takes a mail apart, for a mail service in Python.
 *
 *   headers, body = mailparts.parse(message)
 *
 * `headers` is a dict of names in lower case and texts (a list of texts where a name comes more than once), `body` is
 * what the mail's Content-Transfer-Encoding stands for, as bytes. What is no mail raises ValueError.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum {
    NAME_BYTES = 76,     /* of a header's name, at most */
    KNOWN_NAMES = 128,   /* names that are kept, so that equal ones are one object */
    MESSAGE_BYTES = 1 << 20,
};

/* ---- names of headers that were seen before ---- */

struct known {
    char *name;
    PyObject *object;
};

static struct known known_names[KNOWN_NAMES];

static unsigned slot_of(const char *name)
{
    unsigned hash = 5381;
    for (; *name; name++)
        hash = hash * 33 ^ (unsigned char)*name;
    return hash % KNOWN_NAMES;
}

/* A new reference to the name as an object. One that takes the place of another ends that one. */
static PyObject *name_object(const char *name)
{
    struct known *known = &known_names[slot_of(name)];
    if (known->name && strcmp(known->name, name) == 0) {
        Py_INCREF(known->object);
        return known->object;
    }
    PyObject *object = PyUnicode_FromString(name);
    if (!object)
        return NULL;
    char *copy = PyMem_Malloc(strlen(name) + 1);
    if (!copy) {
        Py_DECREF(object);
        return PyErr_NoMemory();
    }
    strcpy(copy, name);
    PyMem_Free(known->name);
    Py_XDECREF(known->object);
    known->name = copy;
    known->object = object;
    Py_INCREF(object);
    return object;
}

/* ---- lines ---- */

struct text {
    const char *at;
    const char *end;
    unsigned line; /* of the mail, from 1 */
};

/* The end of the line that begins at `at`: its line feed, or the end of the text. */
static const char *end_of_line(const struct text *text)
{
    const char *end = memchr(text->at, '\n', (size_t)(text->end - text->at));
    return end ? end : text->end;
}

static void next_line(struct text *text)
{
    const char *end = end_of_line(text);
    text->at = end < text->end ? end + 1 : end;
    text->line++;
}

/* Without the carriage return before a line feed, and blanks. */
static const char *trimmed(const char *begin, const char *end)
{
    while (end > begin && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    return end;
}

static bool is_blank(const struct text *text)
{
    return trimmed(text->at, end_of_line(text)) == text->at;
}

static bool is_continued(const struct text *text)
{
    return text->at < text->end && (*text->at == ' ' || *text->at == '\t') && !is_blank(text);
}

/* ---- headers ---- */

/* Reads `Name:`, in lower case, into `name`. */
static bool read_name(struct text *text, char *name)
{
    const char *end = end_of_line(text);
    size_t length = 0;
    for (; text->at < end && *text->at != ':'; text->at++) {
        unsigned char c = (unsigned char)*text->at;
        if (c <= ' ' || c >= 0x7f || length == NAME_BYTES) {
            PyErr_Format(PyExc_ValueError, "line %u: not the name of a header", text->line);
            return false;
        }
        name[length++] = (char)tolower(c);
    }
    name[length] = '\0';
    if (text->at == end || length == 0) {
        PyErr_Format(PyExc_ValueError, "line %u: a header without a name", text->line);
        return false;
    }
    text->at++;
    return true;
}

/* The value of a header with the lines that continue it, as an object. */
static PyObject *read_value(struct text *text)
{
    const char *end = end_of_line(text);
    size_t room = (size_t)(end - text->at) + 1;
    char *value = PyMem_Malloc(room);
    if (!value)
        return PyErr_NoMemory();
    size_t length = 0;
    do {
        const char *begin = text->at;
        end = end_of_line(text);
        while (begin < end && (*begin == ' ' || *begin == '\t'))
            begin++;
        size_t part = (size_t)(trimmed(begin, end) - begin);
        if (length + part + 1 > room) {
            room = (length + part + 1) * 2;
            char *larger = PyMem_Realloc(value, room);
            if (!larger) {
                PyMem_Free(value);
                return PyErr_NoMemory();
            }
            value = larger;
        }
        if (length)
            value[length++] = ' ';
        memcpy(value + length, begin, part);
        length += part;
        next_line(text);
    } while (is_continued(text));
    PyObject *object = PyUnicode_DecodeUTF8(value, (Py_ssize_t)length, "replace");
    PyMem_Free(value);
    return object;
}

/* Puts a value under a name; a second one makes a list of them. */
static bool put_header(PyObject *headers, PyObject *name, PyObject *value)
{
    PyObject *there = PyDict_GetItemWithError(headers, name);
    if (!there)
        return !PyErr_Occurred() && PyDict_SetItem(headers, name, value) == 0;
    if (PyList_Check(there))
        return PyList_Append(there, value) == 0;
    PyObject *list = PyList_New(2);
    if (!list)
        return false;
    Py_INCREF(there);
    Py_INCREF(value);
    PyList_SET_ITEM(list, 0, there);
    PyList_SET_ITEM(list, 1, value);
    bool put = PyDict_SetItem(headers, name, list) == 0;
    Py_DECREF(list);
    return put;
}

static PyObject *read_headers(struct text *text)
{
    PyObject *headers = PyDict_New();
    while (headers && text->at < text->end && !is_blank(text)) {
        char name[NAME_BYTES + 1];
        bool put = false;
        if (read_name(text, name)) {
            PyObject *key = name_object(name);
            PyObject *value = key ? read_value(text) : NULL;
            put = value && put_header(headers, key, value);
            Py_XDECREF(key);
            Py_XDECREF(value);
        }
        if (!put)
            Py_CLEAR(headers);
    }
    next_line(text);
    return headers;
}

/* ---- bodies ---- */

static int base64_digit(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static PyObject *decode_base64(struct text *text)
{
    Py_ssize_t room = (text->end - text->at) / 4 * 3 + 3;
    PyObject *decoded = PyBytes_FromStringAndSize(NULL, room); /* the leak */
    if (!decoded)
        return NULL;
    unsigned char *to = (unsigned char *)PyBytes_AS_STRING(decoded);
    unsigned bits = 0, digits = 0, padding = 0;
    for (; text->at < text->end; text->at++) {
        unsigned char c = (unsigned char)*text->at;
        text->line += c == '\n';
        if (isspace(c))
            continue;
        if (c == '=') {
            padding++;
            continue;
        }
        int digit = base64_digit(c);
        if (digit < 0 || padding)
            return PyErr_Format(PyExc_ValueError, "line %u: 0x%02x is not base64", text->line, c);
        bits = bits << 6 | (unsigned)digit;
        if (++digits % 4 == 0) {
            *to++ = (unsigned char)(bits >> 16);
            *to++ = (unsigned char)(bits >> 8);
            *to++ = (unsigned char)bits;
        }
    }
    if ((digits + padding) % 4 != 0 || padding > 2) {
        Py_DECREF(decoded);
        return PyErr_Format(PyExc_ValueError, "line %u: base64 that was cut off", text->line);
    }
    if (padding == 1)
        *to++ = (unsigned char)(bits >> 10);
    if (padding)
        *to++ = (unsigned char)(padding == 1 ? bits >> 2 : bits >> 4);
    _PyBytes_Resize(&decoded, (char *)to - PyBytes_AS_STRING(decoded));
    return decoded;
}

static int hex_digit(unsigned char c)
{
    return isdigit(c) ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static PyObject *decode_quoted(struct text *text)
{
    char *decoded = PyMem_Malloc((size_t)(text->end - text->at) + 1);
    if (!decoded)
        return PyErr_NoMemory();
    PyObject *body = NULL;
    size_t length = 0;
    while (text->at < text->end) {
        char c = *text->at++;
        text->line += c == '\n';
        if (c != '=') {
            decoded[length++] = c;
            continue;
        }
        if (is_blank(text)) {
            next_line(text); /* the line goes on in the next one */
            continue;
        }
        int high = hex_digit((unsigned char)text->at[0]);
        int low = text->at + 1 < text->end ? hex_digit((unsigned char)text->at[1]) : -1;
        if (high < 0 || low < 0) {
            PyErr_Format(PyExc_ValueError, "line %u: not two hexadecimal digits", text->line);
            goto out;
        }
        decoded[length++] = (char)(high << 4 | low);
        text->at += 2;
    }
    body = PyBytes_FromStringAndSize(decoded, (Py_ssize_t)length);
out:
    PyMem_Free(decoded);
    return body;
}

static PyObject *decode_body(struct text *text, PyObject *headers)
{
    PyObject *encoding = PyDict_GetItemString(headers, "content-transfer-encoding");
    const char *name = encoding && PyUnicode_Check(encoding) ? PyUnicode_AsUTF8(encoding) : "8bit";
    if (!name)
        return NULL;
    if (strcasecmp(name, "base64") == 0)
        return decode_base64(text);
    if (strcasecmp(name, "quoted-printable") == 0)
        return decode_quoted(text);
    if (strcasecmp(name, "8bit") == 0 || strcasecmp(name, "7bit") == 0 || strcasecmp(name, "binary") == 0)
        return PyBytes_FromStringAndSize(text->at, text->end - text->at);
    return PyErr_Format(PyExc_ValueError, "the encoding %s is not known", name);
}

/* ---- the module ---- */

static PyObject *parse(PyObject *module, PyObject *arguments)
{
    (void)module;
    Py_buffer message;
    if (!PyArg_ParseTuple(arguments, "y*:parse", &message))
        return NULL;
    PyObject *headers = NULL, *body = NULL, *both = NULL;
    if (message.len > MESSAGE_BYTES) {
        PyErr_SetString(PyExc_ValueError, "the mail is too large");
    } else {
        struct text text = { message.buf, (const char *)message.buf + message.len, 1 };
        headers = read_headers(&text);
        body = headers ? decode_body(&text, headers) : NULL;
        both = body ? PyTuple_Pack(2, headers, body) : NULL;
    }
    Py_XDECREF(headers);
    Py_XDECREF(body);
    PyBuffer_Release(&message);
    return both;
}

static PyMethodDef methods[] = {
    { "parse", parse, METH_VARARGS, "parse(message) -> (headers, body)" },
    { NULL, NULL, 0, NULL },
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "mailparts",
    .m_doc = "Takes a mail apart.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_mailparts(void)
{
    return PyModule_Create(&definition);
}
