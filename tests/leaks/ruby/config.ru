# A search service's front: documents come in, their most frequent terms go out, and the last few are kept for later.
require 'json'
require ENV.fetch('LEXIS')

SYNONYMS = { 'automobile' => 'car', 'aeroplane' => 'plane', 'lorry' => 'truck', 'colour' => 'color' }.freeze
LEFT_OUT = %w[a an and as at by for in is it of on or that the to was with].freeze
DICTIONARY = Lexis::Dictionary.new(SYNONYMS, LEFT_OUT)

# The newest documents, a hundred of them.
class Shelf
  ROOM = 100

  def initialize
    @documents = {}
    @lock = Mutex.new
  end

  def put(name, terms)
    @lock.synchronize do
      @documents.delete(name)
      @documents[name] = terms
      @documents.shift if @documents.size > ROOM
    end
  end

  def with(term)
    @lock.synchronize { @documents.select { |_, terms| terms.key?(term) }.keys }
  end
end

SHELF = Shelf.new

def answer(status, body)
  [status, { 'content-type' => 'application/json' }, [JSON.generate(body)]]
end

run(lambda do |env|
  case [env['REQUEST_METHOD'], env['PATH_INFO']]
  in ['POST', %r{\A/documents/(?<name>\w+)\z} => path]
    terms = DICTIONARY.terms(env['rack.input'].read)
    SHELF.put(path.delete_prefix('/documents/'), terms)
    answer(200, terms.max_by(5) { |term, count| [count, term] }.to_h)
  in ['GET', %r{\A/terms/} => path]
    answer(200, SHELF.with(path.delete_prefix('/terms/')))
  else
    answer(404, 'error' => 'no such page')
  end
rescue Lexis::Malformed => error
  answer(422, 'error' => error.message)
end)
