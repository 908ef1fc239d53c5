#!/usr/bin/env bash
# The styles of the gallery, as they are bundled: 44 masterpieces in the public domain, a file of JPEG each in the folder
# $1, one style after the other into the folder $2. More arguments go to 'impasto styles learn'; the bundled ones were made
# with --judge vgg19 --steps 30 --crop 160, and --content for each of 16 photographs.
set -e
paintings=$1 styles=$2
shift 2

learn() {
  test -e "$styles/$2.style" ||
    impasto styles learn "$paintings/$1.jpg" --name "$2" --title "$3" --artist "$4" --year "$5" \
      --license "public domain" -o "$styles/$2.style" "${@:6}"
}

learn aivazovsky_ninth-wave_1850 ninth-wave "The Ninth Wave" "Ivan Aivazovsky" "1850" "$@"
learn cassatt_childs-bath_1893 childs-bath "The Child's Bath" "Mary Cassatt" "1893" "$@"
learn cezanne_apples-and-oranges_1899 apples-and-oranges "Apples and Oranges" "Paul Cézanne" "1899" "$@"
learn cezanne_card-players card-players "The Card Players" "Paul Cézanne" "1895" "$@"
learn degas_blue-dancers_1897 blue-dancers "Blue Dancers" "Edgar Degas" "1897" "$@"
learn degas_dance-class_1874 dance-class "The Dance Class" "Edgar Degas" "1874" "$@"
learn delaunay_portrait-of-metzinger_1906 metzinger "Portrait of Jean Metzinger" "Robert Delaunay" "1906" "$@"
learn gauguin_tahiti tahiti "Tahiti" "Paul Gauguin" "1890s" "$@"
learn hokusai_great-wave-off-kanagawa_1831 great-wave "The Great Wave off Kanagawa" "Katsushika Hokusai" "1831" "$@"
learn kandinsky_composition-vii_1913 composition-vii "Composition VII" "Wassily Kandinsky" "1913" "$@"
learn kandinsky_composition-viii_1923 composition-viii "Composition VIII" "Wassily Kandinsky" "1923" "$@"
learn klimt_adele-bloch-bauer-i_1907 adele-bloch-bauer "Portrait of Adele Bloch-Bauer I" "Gustav Klimt" "1907" "$@"
learn klimt_the-kiss_1908 the-kiss "The Kiss" "Gustav Klimt" "1908" "$@"
learn klimt_tree-of-life tree-of-life "The Tree of Life" "Gustav Klimt" "1909" "$@"
learn matisse_woman-with-a-hat_1905 woman-with-a-hat "Woman with a Hat" "Henri Matisse" "1905" "$@"
learn modigliani_paul-guillaume-novo-pilota_1915 paul-guillaume "Paul Guillaume, Novo Pilota" "Amedeo Modigliani" "1915" "$@"
learn mondrian_tableau-1_1921 tableau-1 "Tableau I" "Piet Mondrian" "1921" "$@"
learn monet_garden-at-sainte-adresse_1867 sainte-adresse "Garden at Sainte-Adresse" "Claude Monet" "1867" "$@"
learn monet_impression-sunrise_1872 impression-sunrise "Impression, Sunrise" "Claude Monet" "1872" "$@"
learn monet_poppies_1873 poppies "Poppies" "Claude Monet" "1873" "$@"
learn monet_rouen-cathedral rouen-cathedral "Rouen Cathedral" "Claude Monet" "1894" "$@"
learn monet_water-lilies_giverny water-lilies "Water Lilies" "Claude Monet" "1900s" "$@"
learn monet_woman-with-a-parasol_1875 woman-with-a-parasol "Woman with a Parasol" "Claude Monet" "1875" "$@"
learn munch_the-scream_1893 the-scream "The Scream" "Edvard Munch" "1893" "$@"
learn picabia_edtaonisl_1913 edtaonisl "Edtaonisl" "Francis Picabia" "1913" "$@"
learn picabia_udnie_1913 udnie "Udnie" "Francis Picabia" "1913" "$@"
learn rembrandt_night-watch_1642 night-watch "The Night Watch" "Rembrandt van Rijn" "1642" "$@"
learn renoir_bal-du-moulin-de-la-galette_1876 moulin-de-la-galette "Bal du moulin de la Galette" "Pierre-Auguste Renoir" "1876" "$@"
learn renoir_luncheon-of-the-boating-party_1881 boating-party "Luncheon of the Boating Party" "Pierre-Auguste Renoir" "1881" "$@"
learn renoir_young-girls-at-the-piano_1892 girls-at-the-piano "Young Girls at the Piano" "Pierre-Auguste Renoir" "1892" "$@"
learn seurat_sunday-on-la-grande-jatte_1886 grande-jatte "A Sunday on La Grande Jatte" "Georges Seurat" "1886" "$@"
learn thomson_jack-pine_1917 jack-pine "The Jack Pine" "Tom Thomson" "1917" "$@"
learn turner_shipwreck-of-the-minotaur_1810 shipwreck "The Shipwreck of the Minotaur" "J. M. W. Turner" "1810" "$@"
learn van-eyck_arnolfini-portrait_1434 arnolfini "The Arnolfini Portrait" "Jan van Eyck" "1434" "$@"
learn van-gogh_almond-blossom_1890 almond-blossom "Almond Blossom" "Vincent van Gogh" "1890" "$@"
learn van-gogh_cafe-terrace-at-night_1888 cafe-terrace "Café Terrace at Night" "Vincent van Gogh" "1888" "$@"
learn van-gogh_houses-at-auvers_1890 houses-at-auvers "Houses at Auvers" "Vincent van Gogh" "1890" "$@"
learn van-gogh_irises_1889 irises "Irises" "Vincent van Gogh" "1889" "$@"
learn van-gogh_olive-trees_1889 olive-trees "Olive Trees" "Vincent van Gogh" "1889" "$@"
learn van-gogh_self-portrait_1889 self-portrait "Self-Portrait" "Vincent van Gogh" "1889" "$@"
learn van-gogh_starry-night_1889 starry-night "The Starry Night" "Vincent van Gogh" "1889" "$@"
learn van-gogh_sunflowers_1888 sunflowers "Sunflowers" "Vincent van Gogh" "1888" "$@"
learn van-gogh_wheat-field-with-cypresses_1889 wheat-field "Wheat Field with Cypresses" "Vincent van Gogh" "1889" "$@"
learn vermeer_girl-with-a-pearl-earring_1665 pearl-earring "Girl with a Pearl Earring" "Johannes Vermeer" "1665" "$@"
