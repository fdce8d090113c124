# A small web service: JSON there and back, a template, a packed answer.
require 'erb'
require 'json'
require 'zlib'

PAGE = ERB.new('<ul><% items.each do |item| %><li><%= item["name"].sub(/\d+/) { |n| n * 2 } %></li><% end %></ul>')

run(lambda do |_env|
  items = JSON.parse(JSON.generate((0...200).map { |i| { id: i, name: "item #{i}", tags: ['a', i.to_s] } }))
  [200, { 'content-type' => 'text/html', 'content-encoding' => 'deflate' }, [Zlib::Deflate.deflate(PAGE.result(binding))]]
end)
