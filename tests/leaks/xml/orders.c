/*
 * orders: prices orders that come as XML, and remembers the last one of each customer.
 *
 *   POST /orders               <order customer="c1"><line sku="A-1" quantity="2"><note>...</note></line>...</order>
 *   GET  /customers/NAME       what that customer's last order came to
 *
 * The price list is made at the start. An order with something in it that is not sold is refused as a whole.
 */
#include "http.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <libxml/xpath.h>

enum {
    PRODUCTS = 500,
    CUSTOMERS = 128,       /* remembered, the ones that ordered last */
    LINES = 100,           /* of an order, at most */
    QUANTITY = 1000,       /* of a line, at most */
    NOTE_BYTES_SHOWN = 40,
};

/* ---- texts that grow ---- */

struct text {
    char *data;
    size_t length, room;
};

static void text_add(struct text *text, const char *format, ...)
{
    va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    size_t more = (size_t)vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (text->length + more + 1 > text->room) {
        text->room = (text->length + more + 1) * 2;
        char *data = realloc(text->data, text->room);
        if (!data)
            abort();
        text->data = data;
    }
    vsnprintf(text->data + text->length, more + 1, format, again);
    va_end(again);
    text->length += more;
}

/* ---- the price list ---- */

struct product {
    char sku[12];
    unsigned cents;
};

static struct product products[PRODUCTS];

static void make_products(void)
{
    for (unsigned i = 0; i < PRODUCTS; i++) {
        snprintf(products[i].sku, sizeof products[i].sku, "P-%04u", i);
        products[i].cents = 95 + i * 7919 % 20000;
    }
}

static int by_sku(const void *sku, const void *product)
{
    return strcmp(sku, ((const struct product *)product)->sku);
}

static const struct product *find_product(const char *sku)
{
    return bsearch(sku, products, PRODUCTS, sizeof products[0], by_sku);
}

/* ---- customers ---- */

struct customer {
    struct customer *next;
    char *name;
    char *summary;
};

static struct customer *customers; /* the one that ordered last comes first */
static pthread_mutex_t customers_lock = PTHREAD_MUTEX_INITIALIZER;

/* Takes the customer, or the one that has not ordered for longest when there is no more room, out of the list. */
static struct customer *take_customer(const char *name)
{
    unsigned count = 1;
    struct customer **place = &customers;
    for (; *place; place = &(*place)->next, count++) {
        if (strcmp((*place)->name, name) == 0 || count == CUSTOMERS) {
            struct customer *customer = *place;
            *place = customer->next;
            return customer;
        }
    }
    return NULL;
}

static void remember_order(const char *name, unsigned lines, unsigned long long cents)
{
    struct text summary = { 0 };
    text_add(&summary, "{\"lines\":%u,\"cents\":%llu}", lines, cents);
    pthread_mutex_lock(&customers_lock);
    struct customer *customer = take_customer(name);
    if (!customer)
        customer = calloc(1, sizeof *customer);
    if (!customer)
        abort();
    free(customer->name);
    free(customer->summary);
    customer->name = strdup(name);
    customer->summary = summary.data;
    customer->next = customers;
    customers = customer;
    pthread_mutex_unlock(&customers_lock);
}

static char *customer_summary(const char *name)
{
    char *summary = NULL;
    pthread_mutex_lock(&customers_lock);
    for (struct customer *customer = customers; customer && !summary; customer = customer->next)
        if (strcmp(customer->name, name) == 0)
            summary = strdup(customer->summary);
    pthread_mutex_unlock(&customers_lock);
    return summary;
}

/* ---- orders ---- */

struct order {
    char *customer;
    struct text lines;
    unsigned count;
    unsigned long long cents;
    struct text error;
};

/* Puts a text into JSON: what would end it, or cannot be in it, becomes a blank. */
static void text_add_words(struct text *text, const char *words, size_t most)
{
    for (; *words && most > 0; words++, most--)
        text_add(text, "%c", *words == '"' || *words == '\\' || (unsigned char)*words < ' ' ? ' ' : *words);
}

static char *attribute(xmlNode *node, const char *name)
{
    return (char *)xmlGetProp(node, (const xmlChar *)name);
}

/* What is written beside a line for those who pack it, or NULL. */
static char *note_of(xmlNode *line)
{
    for (xmlNode *child = line->children; child; child = child->next)
        if (child->type == XML_ELEMENT_NODE && xmlStrEqual(child->name, (const xmlChar *)"note"))
            return (char *)xmlNodeGetContent(child); /* the leak */
    return NULL;
}

/* A number from 1 to QUANTITY, or 0. */
static unsigned quantity_of(const char *text)
{
    char *end;
    unsigned long quantity = text ? strtoul(text, &end, 10) : 0;
    return quantity == 0 || *end || quantity > QUANTITY ? 0 : (unsigned)quantity;
}

/* Prices one line of an order; false where it cannot be delivered. */
static bool add_line(struct order *order, xmlNode *line)
{
    char *note = note_of(line);
    char *sku = attribute(line, "sku");
    char *wanted = attribute(line, "quantity");
    const struct product *product = sku ? find_product(sku) : NULL;
    unsigned quantity = quantity_of(wanted);
    if (!product || quantity == 0) {
        text_add(&order->error, "line %ld: ", xmlGetLineNo(line));
        text_add(&order->error, product ? "not a quantity" : "no such product");
        xmlFree(sku);
        xmlFree(wanted);
        return false;
    }
    unsigned long long cents = (unsigned long long)product->cents * quantity;
    text_add(&order->lines, "%s{\"sku\":\"%s\",\"quantity\":%u,\"cents\":%llu,\"note\":\"", order->count ? "," : "",
             product->sku, quantity, cents);
    text_add_words(&order->lines, note ? note : "", NOTE_BYTES_SHOWN);
    text_add(&order->lines, "\"}");
    order->cents += cents;
    order->count++;
    xmlFree(note);
    xmlFree(sku);
    xmlFree(wanted);
    return true;
}

static bool read_lines(struct order *order, xmlDoc *document)
{
    xmlXPathContext *context = xmlXPathNewContext(document);
    if (!context)
        return false;
    xmlXPathObject *found = xmlXPathEvalExpression((const xmlChar *)"/order/line", context);
    int count = found && found->nodesetval ? found->nodesetval->nodeNr : 0;
    bool right = count > 0 && count <= LINES;
    if (!right)
        text_add(&order->error, "an order has 1 to %d lines", LINES);
    for (int i = 0; i < count && right; i++)
        right = add_line(order, found->nodesetval->nodeTab[i]);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    return right;
}

static bool read_order(struct order *order, const struct request *request)
{
    int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
    xmlDoc *document = xmlReadMemory(request->body, (int)request->length, "order.xml", NULL, options);
    xmlNode *root = document ? xmlDocGetRootElement(document) : NULL;
    if (!root) {
        text_add(&order->error, "not XML");
        xmlFreeDoc(document);
        return false;
    }
    order->customer = attribute(root, "customer");
    bool right = order->customer && strlen(order->customer) < 64;
    if (!right)
        text_add(&order->error, "an order has a customer");
    right = right && read_lines(order, document);
    xmlFreeDoc(document);
    return right;
}

static void order_end(struct order *order)
{
    xmlFree(order->customer);
    free(order->lines.data);
    free(order->error.data);
}

/* ---- pages ---- */

static int post_order(const struct request *request, char **body)
{
    struct order order = { 0 };
    struct text answer = { 0 };
    bool right = read_order(&order, request);
    if (right) {
        remember_order(order.customer, order.count, order.cents);
        text_add(&answer, "{\"customer\":\"");
        text_add_words(&answer, order.customer, strlen(order.customer));
        text_add(&answer, "\",\"cents\":%llu,\"lines\":[%s]}", order.cents, order.lines.data);
    } else {
        text_add(&answer, "{\"error\":\"%s\"}", order.error.data ? order.error.data : "out of memory");
    }
    order_end(&order);
    *body = answer.data;
    return right ? 200 : 422;
}

static int handle(const struct request *request, char **body)
{
    static const char customers_path[] = "/customers/";
    if (strcmp(request->method, "POST") == 0 && strcmp(request->path, "/orders") == 0)
        return post_order(request, body);
    if (strcmp(request->method, "GET") == 0
        && strncmp(request->path, customers_path, sizeof customers_path - 1) == 0) {
        *body = customer_summary(request->path + sizeof customers_path - 1);
        return *body ? 200 : 404;
    }
    return 404;
}

int main(void)
{
    LIBXML_TEST_VERSION
    make_products();
    return http_serve(handle);
}
