// A web server that parses and writes JSON, compresses, and keeps buffers, asked by itself for as many seconds as the
// argument says.
const crypto = require('node:crypto');
const http = require('node:http');
const zlib = require('node:zlib');

const until = Date.now() + 1000 * Number(process.argv[2]);
const server = http.createServer((request, response) => {
  const items = Array.from({ length: 1000 }, (_, i) => ({ id: i, name: 'item ' + i, tags: ['a', String(i)] }));
  const text = JSON.stringify(JSON.parse(JSON.stringify(items)));
  const buffers = Array.from({ length: 100 }, (_, i) => Buffer.alloc(9000 + i));
  const sum = crypto.createHash('sha256').update(text).update(buffers[7]).digest('hex');
  zlib.gzip(sum + text, (error, packed) => response.end(packed));
});

function ask() {
  http.get({ host: '127.0.0.1', port: server.address().port }, (response) => {
    response.resume();
    response.on('end', () => (Date.now() < until ? ask() : server.close()));
  });
}

server.listen(0, '127.0.0.1', ask);
